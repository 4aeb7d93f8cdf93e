// Threads that share the tasks of a call.
//
//   run(threads, phases): for each phase in order, body(task) for task = 0 ... tasks - 1, every task once
//
// A phase ends when its tasks are done, not when every thread has come: a worker that wakes late finds no task left and delays
// nobody. The caller works too, alone where the workers serve another call. A worker waits for the next call SPIN times, then
// sleeps. After a fork the child has no workers: it starts its own, and leaves what it got from its parent untouched.

#pragma once
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace omnie {

constexpr int SPIN = 4000, SPIN_PHASE = 2000;

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

struct Phase {
    int tasks;
    std::function<void(int)> body;
};

class Pool {
public:
    // The pool of this process.
    static Pool &here() {
        static std::atomic<Pool *> current{nullptr};
        Pool *pool = current.load();
        if (pool && pool->process == getpid()) return *pool;
        Pool *fresh = new Pool;
        if (current.compare_exchange_strong(pool, fresh)) return *fresh;
        delete fresh;
        return *pool;
    }

    void run(int threads, const std::vector<Phase> &phases) {
        std::unique_lock<std::mutex> mine(calls, std::try_to_lock);
        if (threads < 2 || !mine.owns_lock()) {
            for (const Phase &phase : phases)
                for (int task = 0; task < phase.tasks; task++) phase.body(task);
            return;
        }
        open(threads - 1, phases);
        work();
        gate.fetch_and(~OPEN);
        for (int turn = 0; gate.load(); turn++) wait(turn);
    }

private:
    static constexpr unsigned OPEN = 1u << 31;  // beside it, `gate` counts the workers that are inside
    static constexpr int PHASES = 8;
    const pid_t process = getpid();
    std::mutex calls, sleep;
    std::condition_variable wake;
    std::atomic<unsigned> gate{0}, number{0};  // `number` counts the calls
    std::atomic<unsigned> sleeping{0}, wanted{0};
    std::atomic<int> next[PHASES], done[PHASES];
    const std::vector<Phase> *phases = nullptr;
    int workers = 0;

    void open(int helpers, const std::vector<Phase> &given) {
        phases = &given;
        for (size_t p = 0; p < given.size(); p++) next[p] = 0, done[p] = 0;
        try {
            for (; workers < helpers; workers++) std::thread(&Pool::serve, this).detach();
        } catch (const std::system_error &) {  // no further thread to be had: those that are there do the work
        }
        wanted = unsigned(helpers);
        number++;
        gate = OPEN;
        if (!sleeping.load()) return;
        { std::lock_guard<std::mutex> lock(sleep); }
        wake.notify_all();
    }

    void work() {
        for (size_t p = 0; p < phases->size(); p++) {
            const Phase &phase = (*phases)[p];
            for (int task; (task = next[p].fetch_add(1)) < phase.tasks; done[p].fetch_add(1)) phase.body(task);
            for (int turn = 0; done[p].load() < phase.tasks; turn++) wait(turn);
        }
    }

    static void wait(int turn) {
        if (turn < SPIN_PHASE) relax();
        else std::this_thread::yield();
    }

    // Whether there is an open call, other than the last one that this worker was in, with room for it.
    bool is_wanted(unsigned last) const {
        unsigned seen = gate.load();
        return (seen & OPEN) && (seen & ~OPEN) < wanted.load() && number.load() != last;
    }

    bool enter(unsigned last) {
        unsigned seen = gate.load();
        return is_wanted(last) && (seen & OPEN) && gate.compare_exchange_strong(seen, seen + 1);
    }

    void serve() {
        unsigned last = 0;
        for (int turn = 0;; turn++) {
            if (enter(last)) {
                last = number.load();
                work();
                gate.fetch_sub(1);
                turn = 0;
            } else if (turn < SPIN) {
                relax();
            } else {
                std::unique_lock<std::mutex> lock(sleep);
                sleeping++;
                wake.wait(lock, [&] { return is_wanted(last); });
                sleeping--;
            }
        }
    }
};

}  // namespace omnie
