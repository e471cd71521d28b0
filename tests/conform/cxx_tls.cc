/* SPDX-License-Identifier: MIT
 *
 * C++: thread_local and static objects allocate while they are made and free while they are destroyed, and
 * containers move between threads.
 */
#include "conform/conform.h"

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace
{
std::atomic<unsigned> destroyed{0};

struct holder {
    std::vector<std::string> texts;
    std::map<int, std::unique_ptr<int>> numbers;

    holder()
    {
        for (int i = 0; i < 100; i++) {
            texts.emplace_back(static_cast<size_t>(i) * 20, 'x');
            numbers[i] = std::make_unique<int>(i);
        }
    }
    holder(const holder &) = delete;
    holder &operator=(const holder &) = delete;
    ~holder()
    {
        /* Grows while it is being destroyed, after the library may have given up this thread's cache. */
        for (int i = 0; i < 50; i++) {
            texts.emplace_back(static_cast<size_t>(i) * 100 + 1, 'y');
        }
        CHECK(texts.size() == 150);
        CHECK(numbers.size() == 100 && *numbers[42] == 42);
        destroyed++;
    }
};

thread_local holder per_thread;

struct verdict {
    ~verdict()
    {
        _exit(conform_end());
    }
};

/* Made before `whole`, so destroyed after it, as the last object of the program. */
verdict final_verdict;
holder whole;
} // namespace

int main()
{
    conform_start(60);
    for (int round = 0; round < 20; round++) {
        std::vector<std::thread> threads;
        auto shared = std::make_shared<std::vector<std::string>>();
        for (int i = 0; i < 200; i++) {
            shared->push_back(std::string(static_cast<size_t>(i) * 13, 'z'));
        }
        for (int i = 0; i < 8; i++) {
            threads.emplace_back([shared, i]() mutable {
                per_thread.texts[0] = (*shared)[static_cast<size_t>(i) * 20];
                shared.reset();
            });
        }
        shared.reset();
        for (auto &thread : threads) {
            thread.join();
        }
    }
    CHECK(destroyed == 160, "%u thread_local objects were destroyed", destroyed.load());
    per_thread.texts[1] = "main";
    return 0;
}
