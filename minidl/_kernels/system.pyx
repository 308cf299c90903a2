"""What the kernels were built with, and how many threads they use."""

import os
import re

from cpython.exc cimport PyErr_WarnEx

cdef extern from *:
    """
    #ifdef _OPENMP
    #define OPENMP _OPENMP
    #else
    #define OPENMP 0
    #endif
    #if defined(_MSC_VER)
    #define STRINGIZE(x) #x
    #define STRINGIZED(x) STRINGIZE(x)
    #define COMPILER "MSVC " STRINGIZED(_MSC_VER)
    #elif defined(__clang__)
    #define COMPILER __VERSION__
    #else
    #define COMPILER "GCC " __VERSION__
    #endif
    #if OPENMP && !defined(_MSC_VER)
    #include <pthread.h>
    #include <stdlib.h>
    #include <time.h>
    static __thread int minidl_team = 1;  /* threads that OpenMP has started for this one, and it */
    static pthread_mutex_t minidl_gate = PTHREAD_MUTEX_INITIALIZER;
    static void *minidl_wait(void *unused) {
        pthread_mutex_lock(&minidl_gate);
        pthread_mutex_unlock(&minidl_gate);
        return unused;
    }
    static int minidl_startable(int n, size_t stack) {
        struct timespec moment = {0, 1000000};
        void *spare = malloc(1 << 20);  /* what OpenMP and the C library allocate for threads */
        pthread_t *started = (pthread_t *) malloc(n * sizeof(pthread_t));
        pthread_attr_t attributes;
        int i, count = 0;
        if (spare && started && pthread_attr_init(&attributes) == 0) {
            if (stack) pthread_attr_setstacksize(&attributes, stack);
            pthread_mutex_lock(&minidl_gate);
            while (count < n
                   && pthread_create(&started[count], &attributes, minidl_wait, NULL) == 0)
                count++;
            pthread_mutex_unlock(&minidl_gate);
            for (i = 0; i < count; i++) pthread_join(started[i], NULL);
            pthread_attr_destroy(&attributes);
            nanosleep(&moment, NULL);  /* the system counts a thread until just after its join */
        }
        free(started);
        free(spare);
        return count;
    }
    static void minidl_start(int n) {
        int count = 0;
        #pragma omp parallel num_threads(n) reduction(+:count)
        count++;
        minidl_team = n;
    }
    #else
    static int minidl_team = 1;
    static int minidl_startable(int n, size_t stack) { return n; }
    static void minidl_start(int n) { minidl_team = n; }
    #endif
    """
    const char *COMPILER
    int OPENMP
    int team "minidl_team"
    int startable "minidl_startable"(int n, size_t stack)
    void start "minidl_start"(int n)

cdef enum:
    MAX_THREADS = 1024
    SPARE = 8  # more threads that must be able to start, so that the process isn't at its limit

compiler = COMPILER.decode()
openmp = OPENMP  # the OpenMP standard's date as yyyymm, 0 without OpenMP
max_threads = MAX_THREADS
flushes = bool(FLUSHES)  # whether the processor can flush subnormal numbers, inputs too

cdef int number_of_threads = 1


def stack_size_given():
    """The size in bytes of the stack of each OpenMP thread; 0, the system's, if none is given."""
    for name in ("OMP_STACKSIZE", "GOMP_STACKSIZE"):
        size = re.fullmatch(r"\s*(\d{1,9})\s*([bkmg]?)\s*", os.environ.get(name, "").lower())
        if size:
            return int(size[1]) << 10 * "bkmg".index(size[2] or "k")
    return 0


cdef size_t stack_size = stack_size_given()  # OpenMP reads it once, too


cdef int threads() except -1:
    """The number of threads for the next parallel loop of the calling thread, all of them started.

    OpenMP ends the process if a thread can't be started. So before it is asked for more threads,
    the same number are started here, and the number is reduced if that fails.
    """
    global team, number_of_threads
    cdef int wanted = number_of_threads, more = wanted - team, found
    if more <= 0:
        team = wanted if wanted > 1 else team  # OpenMP ends the others
        return wanted
    found = startable(more + SPARE, stack_size)
    if found < more + SPARE:
        number_of_threads = team + found // 2
    start(number_of_threads)
    if number_of_threads < wanted:
        PyErr_WarnEx(
            RuntimeWarning,
            f"minidl: {wanted} threads can't be started within this process's limits (of "
            f"processes or memory), so kernels use {number_of_threads} from now on; "
            f"set_num_threads({number_of_threads}) avoids this warning".encode(),
            1,
        )
    return number_of_threads


def get_num_threads():
    """The number of threads that a kernel uses on large arrays."""
    return number_of_threads


def set_num_threads(int n):
    """Let kernels use n threads; without OpenMP they use one."""
    global number_of_threads
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"the number of threads must be from 1 to {MAX_THREADS}, got {n}")
    number_of_threads = n if OPENMP else 1
