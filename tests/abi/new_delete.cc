/* SPDX-License-Identifier: MIT
 *
 * C++: every form of operator new and delete, their alignment, and what happens when there is no memory: the
 * new_handler is called until it gives up, std::bad_alloc is thrown, and the nothrow forms return null
 * whatever the handler does.
 */
#include "conform/conform.h"

#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{
constexpr std::size_t too_large = static_cast<std::size_t>(PTRDIFF_MAX) - 4096;

struct plain {
    char data[40];
};
struct alignas(64) aligned {
    char data[64];
};
struct alignas(4096) page_aligned {
    char data[4096];
};
struct base {
    virtual ~base() = default;
    long number = 1;
};
struct derived : base {
    char more[200] = {};
};

template <typename T> void one_and_array()
{
    std::vector<T *> ones;
    std::vector<T *> arrays;
    for (std::size_t i = 0; i < 200; i++) {
        T *one = new T;
        T *array = new T[i + 1];
        CHECK(reinterpret_cast<std::uintptr_t>(one) % alignof(T) == 0);
        CHECK(reinterpret_cast<std::uintptr_t>(array) % alignof(T) == 0);
        std::memset(static_cast<void *>(one), 1, sizeof(T));
        std::memset(static_cast<void *>(array), 2, sizeof(T) * (i + 1));
        ones.push_back(one);
        arrays.push_back(array);
    }
    for (std::size_t i = 0; i < 200; i++) {
        delete ones[i];
        delete[] arrays[i];
    }
    T *quiet = new (std::nothrow) T;
    T *quiet_array = new (std::nothrow) T[10];
    CHECK(quiet != nullptr && quiet_array != nullptr);
    delete quiet;
    delete[] quiet_array;
}

/* The functions themselves, which the compiler may otherwise merge or leave out. */
void every_function()
{
    const std::size_t sizes[] = {0, 1, 16, 100, 5000, 40000, 300000, 3u << 20};
    const std::align_val_t alignment{256};
    for (std::size_t n : sizes) {
        void *blocks[] = {
            ::operator new(n),
            ::operator new[](n),
            ::operator new(n, std::nothrow),
            ::operator new[](n, std::nothrow),
            ::operator new(n, alignment),
            ::operator new[](n, alignment),
            ::operator new(n, alignment, std::nothrow),
            ::operator new[](n, alignment, std::nothrow),
        };
        for (std::size_t i = 0; i < 8; i++) {
            CHECK(blocks[i] != nullptr && malloc_usable_size(blocks[i]) >= n);
            CHECK(reinterpret_cast<std::uintptr_t>(blocks[i]) % (i < 4 ? 16 : 256) == 0);
            std::memset(blocks[i], 3, n);
        }
        ::operator delete(blocks[0]);
        ::operator delete[](blocks[1]);
        ::operator delete(blocks[2], std::nothrow);
        ::operator delete[](blocks[3], std::nothrow);
        ::operator delete(blocks[4], alignment);
        ::operator delete[](blocks[5], alignment);
        ::operator delete(blocks[6], alignment, std::nothrow);
        ::operator delete[](blocks[7], alignment, std::nothrow);
        ::operator delete(::operator new(n), n);
        ::operator delete[](::operator new[](n), n);
        ::operator delete(::operator new(n, alignment), n, alignment);
        ::operator delete[](::operator new[](n, alignment), n, alignment);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
    ::operator delete (nullptr, std::size_t{10});
    ::operator delete(nullptr, alignment);
}

template <typename Function> bool throws_bad_alloc(Function function)
{
    try {
        void *volatile block = function();
        ::operator delete(block);
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void failure_throws()
{
    const std::size_t n = conform_opaque(too_large);
    const std::align_val_t alignment{128};
    CHECK(throws_bad_alloc([=] { return ::operator new(n); }));
    CHECK(throws_bad_alloc([=] { return ::operator new[](n); }));
    CHECK(throws_bad_alloc([=] { return ::operator new(n, alignment); }));
    CHECK(throws_bad_alloc([=] { return ::operator new[](n, alignment); }));
    CHECK(throws_bad_alloc([=] { return static_cast<void *>(new char[n]); }));
    CHECK(::operator new(n, std::nothrow) == nullptr);
    CHECK(::operator new[](n, std::nothrow) == nullptr);
    CHECK(::operator new(n, alignment, std::nothrow) == nullptr);
    CHECK(::operator new[](n, alignment, std::nothrow) == nullptr);
    bool thrown = false;
    try {
        std::string text;
        text.reserve(text.max_size());
    } catch (const std::bad_alloc &) {
        thrown = true;
    } catch (const std::length_error &) {
        thrown = true;
    }
    CHECK(thrown);
}

unsigned handler_calls;

void giving_up_handler()
{
    if (++handler_calls == 3) {
        std::set_new_handler(nullptr);
    }
}

struct handler_exception : std::bad_alloc {
};

void throwing_handler()
{
    handler_calls++;
    throw handler_exception();
}

void handler_is_called()
{
    const std::size_t n = conform_opaque(too_large);
    const std::align_val_t alignment{128};
    handler_calls = 0;
    std::set_new_handler(giving_up_handler);
    CHECK(throws_bad_alloc([=] { return ::operator new(n); }));
    CHECK(handler_calls == 3, "%u calls", handler_calls);
    handler_calls = 0;
    std::set_new_handler(giving_up_handler);
    CHECK(::operator new(n, std::nothrow) == nullptr);
    CHECK(handler_calls == 3, "%u calls", handler_calls);

    handler_calls = 0;
    std::set_new_handler(throwing_handler);
    bool right_type = false;
    try {
        ::operator delete(::operator new(n));
    } catch (const handler_exception &) {
        right_type = true;
    } catch (...) {
    }
    CHECK(right_type, "the exception of the handler was replaced");
    CHECK(handler_calls == 1);
    CHECK(throws_bad_alloc([=] { return ::operator new(n, alignment); }));
    /* The nothrow forms catch what the handler throws. */
    CHECK(::operator new(n, std::nothrow) == nullptr);
    CHECK(::operator new[](n, std::nothrow) == nullptr);
    CHECK(::operator new(n, alignment, std::nothrow) == nullptr);
    CHECK(::operator new[](n, alignment, std::nothrow) == nullptr);
    CHECK(handler_calls == 6, "%u calls", handler_calls);
    std::set_new_handler(nullptr);
}
} // namespace

int main()
{
    conform_start(60);
    one_and_array<plain>();
    one_and_array<aligned>();
    one_and_array<page_aligned>();
    one_and_array<std::string *>();
    std::vector<std::unique_ptr<base>> objects;
    for (int i = 0; i < 1000; i++) {
        objects.push_back(i % 2 == 0 ? std::make_unique<base>() : std::make_unique<derived>());
    }
    objects.clear();
    every_function();
    failure_throws();
    handler_is_called();
    return conform_end();
}
