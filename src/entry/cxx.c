/* SPDX-License-Identifier: MIT
 *
 * The C++ operators new and delete, by their Itanium ABI names.
 *
 * On failure operator new must run the program's new_handler and, without one, throw std::bad_alloc. A C
 * library cannot throw, but libstdc++ has a function that does; it is bound weakly, so a C program does not
 * need libstdc++. Compiled with -fexceptions so that the throw can pass.
 */
#include <dlfcn.h>

#include "entry/entry.h"

typedef void (*new_handler)(void);
__attribute__((weak)) new_handler _ZSt15get_new_handlerv(void);      /* std::get_new_handler() */
__attribute__((weak, noreturn)) void _ZSt17__throw_bad_allocv(void); /* std::__throw_bad_alloc() */

/* A nothrow new must return NULL when the new_handler throws, and C cannot catch. libstdc++'s own nothrow
 * operator, the next one after ours, calls operator new (ours again) inside a try block. Without it a throw
 * ends the program. */
static bool new_nothrow_elsewhere(size_t bytes, size_t align, void **ret_block)
{
    void *(*plain)(size_t, const void *);
    void *(*aligned)(size_t, size_t, const void *);
    *(void **)&plain = align == 0 ? dlsym(RTLD_NEXT, "_ZnwmRKSt9nothrow_t") : NULL;
    *(void **)&aligned = align != 0 ? dlsym(RTLD_NEXT, "_ZnwmSt11align_val_tRKSt9nothrow_t") : NULL;
    if (plain != NULL)
        *ret_block = plain(bytes, NULL);
    else if (aligned != NULL)
        *ret_block = aligned(bytes, align, NULL);
    return plain != NULL || aligned != NULL;
}

/* operator new's loop after a failure. With `align` 0 the default alignment. */
EBB_COLD static void *new_failed(size_t bytes, size_t align, bool nothrow)
{
    void *caught;
    if (nothrow && _ZSt15get_new_handlerv != NULL && _ZSt15get_new_handlerv() != NULL &&
        new_nothrow_elsewhere(bytes, align, &caught))
        return caught;
    for (;;) {
        new_handler handler = _ZSt15get_new_handlerv != NULL ? _ZSt15get_new_handlerv() : NULL;
        if (handler == NULL) {
            if (nothrow)
                return NULL;
            if (_ZSt17__throw_bad_allocv != NULL)
                _ZSt17__throw_bad_allocv();
            ebb__die("operator new: out of memory (%lu bytes)", (unsigned long)bytes);
        }
        handler();
        void *p = align != 0 ? ebb__api_aligned(align, bytes) : ebb__api_malloc(bytes);
        if (p != NULL)
            return p;
    }
}

EBB_INLINE void *new_plain(size_t bytes, bool nothrow)
{
    void *p = ebb__api_malloc(bytes);
    return EBB_LIKELY(p != NULL) ? p : new_failed(bytes, 0, nothrow);
}

EBB_INLINE void *new_aligned(size_t bytes, size_t align, bool nothrow)
{
    void *p = ebb__is_pow2(align) ? ebb__api_aligned(align, bytes) : NULL;
    return EBB_LIKELY(p != NULL) ? p : new_failed(bytes, align, nothrow);
}

/* NEW(name, arguments, body) declares and defines, for the names have no header. */
#define OPERATOR(type, name, args, ...)                                                                      \
    EBB_ENTRY type name args;                                                                                \
    EBB_ENTRY type name args                                                                                 \
    {                                                                                                        \
        __VA_ARGS__;                                                                                         \
    }

OPERATOR(void *, _Znwm, (size_t n), return new_plain(n, false))
OPERATOR(void *, _Znam, (size_t n), return new_plain(n, false))
OPERATOR(void *, _ZnwmRKSt9nothrow_t, (size_t n, const void *t), (void)t; return new_plain(n, true))
OPERATOR(void *, _ZnamRKSt9nothrow_t, (size_t n, const void *t), (void)t; return new_plain(n, true))
OPERATOR(void *, _ZnwmSt11align_val_t, (size_t n, size_t a), return new_aligned(n, a, false))
OPERATOR(void *, _ZnamSt11align_val_t, (size_t n, size_t a), return new_aligned(n, a, false))
OPERATOR(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, (size_t n, size_t a, const void *t), (void)t;
         return new_aligned(n, a, true))
OPERATOR(void *, _ZnamSt11align_val_tRKSt9nothrow_t, (size_t n, size_t a, const void *t), (void)t;
         return new_aligned(n, a, true))

OPERATOR(void, _ZdlPv, (void *p), ebb__api_free(p))
OPERATOR(void, _ZdaPv, (void *p), ebb__api_free(p))
OPERATOR(void, _ZdlPvRKSt9nothrow_t, (void *p, const void *t), (void)t; ebb__api_free(p))
OPERATOR(void, _ZdaPvRKSt9nothrow_t, (void *p, const void *t), (void)t; ebb__api_free(p))
OPERATOR(void, _ZdlPvm, (void *p, size_t n), ebb__api_free_sized(p, n, 0, "operator delete"))
OPERATOR(void, _ZdaPvm, (void *p, size_t n), ebb__api_free_sized(p, n, 0, "operator delete[]"))
OPERATOR(void, _ZdlPvSt11align_val_t, (void *p, size_t a), (void)a; ebb__api_free(p))
OPERATOR(void, _ZdaPvSt11align_val_t, (void *p, size_t a), (void)a; ebb__api_free(p))
OPERATOR(void, _ZdlPvmSt11align_val_t, (void *p, size_t n, size_t a),
         ebb__api_free_sized(p, n, a, "operator delete"))
OPERATOR(void, _ZdaPvmSt11align_val_t, (void *p, size_t n, size_t a),
         ebb__api_free_sized(p, n, a, "operator delete[]"))
OPERATOR(void, _ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t a, const void *t), (void)a; (void)t;
         ebb__api_free(p))
OPERATOR(void, _ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t a, const void *t), (void)a; (void)t;
         ebb__api_free(p))
