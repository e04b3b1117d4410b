// Vectors of floats in the compiler's own notation, which becomes AVX-512, AVX2, SSE or NEON.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// What a function is compiled for. Everything it calls is inlined, so that all of it is compiled alike.
#define INLINE static inline __attribute__((always_inline))

template <int N> struct Vector {
    typedef float Floats __attribute__((vector_size(4 * N)));
    typedef int32_t Ints __attribute__((vector_size(4 * N)));
};

// ONE_PROCESSOR leaves out all but what every processor of the kind can run.
#if defined(__x86_64__) && !defined(ONE_PROCESSOR)
// NAME_of<F>, compiled for three generations of processors; NAME calls the one that this processor has. F is a vector of
// floats as wide as its registers.
#define FOR_EACH_PROCESSOR(NAME, PARAMETERS, ARGUMENTS)                                                    \
    __attribute__((target("avx2,fma"))) static void NAME##_avx2 PARAMETERS {                                \
        NAME##_of<Vector<8>::Floats> ARGUMENTS;                                                             \
    }                                                                                                       \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))) static void NAME##_avx512        \
        PARAMETERS {                                                                                        \
        NAME##_of<Vector<16>::Floats> ARGUMENTS;                                                            \
    }                                                                                                       \
    extern "C" void NAME PARAMETERS {                                                                       \
        static const int level = processor_level();                                                        \
        if (level == 2) NAME##_avx512 ARGUMENTS;                                                            \
        else if (level == 1) NAME##_avx2 ARGUMENTS;                                                         \
        else NAME##_of<Vector<4>::Floats> ARGUMENTS;                                                        \
    }
static inline int processor_level() {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return wide ? 2 : 1;
}
#else
#define FOR_EACH_PROCESSOR(NAME, PARAMETERS, ARGUMENTS) \
    extern "C" void NAME PARAMETERS { NAME##_of<Vector<4>::Floats> ARGUMENTS; }
#endif

// The most floats in a vector; rows in memory of our own are padded to as many.
constexpr int WIDEST = 16;
INLINE int padded(int width) { return (width + WIDEST - 1) / WIDEST * WIDEST; }

template <class F> constexpr int LANES = sizeof(F) / sizeof(float);
// Whole numbers as wide as F.
template <class F> using IntsOf = typename Vector<LANES<F>>::Ints;

template <class F> INLINE F load(const float *from) {
    F x;
    memcpy(&x, from, sizeof x);
    return x;
}

template <class F> INLINE void store(float *to, F x) { memcpy(to, &x, sizeof x); }

template <class F> INLINE F all(float x) { return x - F{}; }

template <class F> INLINE F least(F a, F b) { return a < b ? a : b; }

template <class F> INLINE F most(F a, F b) { return a > b ? a : b; }

template <class F> INLINE F clamp(F x, float low, float high) { return least(most(x, all<F>(low)), all<F>(high)); }

// 0 up to low, 1 from high on, a line in between.
template <class F> INLINE F between(F x, float low, float high) { return clamp((x - low) * (1 / (high - low)), 0, 1); }

template <class F> INLINE F magnitude(F x) { return (F)((IntsOf<F>)x & 0x7fffffff); }

template <class F> INLINE IntsOf<F> nearest(F x) {
    // Adding 1.5 · 2^23 leaves no bits for fractions; ties go to even numbers.
    return (IntsOf<F>)(x + 12582912.0f) - 0x4b400000;
}

// e^x for |x| ≤ 87, to 2e-7.
template <class F> INLINE F exponential(F x) {
    x = clamp(x, -87, 87);
    IntsOf<F> n = nearest(x * 1.44269504f);
    F whole = __builtin_convertvector(n, F);
    F r = x - whole * 0.693359375f + whole * 2.12194440e-4f;  // ln 2 in two parts
    F p = all<F>(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    return p * (F)((n + 127) << 23);
}

// ln x for normal x > 0, to 2e-7 of the larger of 1 and the result.
template <class F> INLINE F logarithm(F x) {
    IntsOf<F> bits = (IntsOf<F>)x;
    // Mantissas from sqrt(1/2) to sqrt(2).
    IntsOf<F> n = (bits - 0x3f3504f3) >> 23;
    F m = (F)(bits - (n << 23));
    // ln m = 2 artanh t, |t| ≤ 0.172.
    F t = (m - 1.0f) / (m + 1.0f), t2 = t * t;
    F p = all<F>(2.0f / 9);
    p = p * t2 + 2.0f / 7;
    p = p * t2 + 2.0f / 5;
    p = p * t2 + 2.0f / 3;
    p = p * t2 + 2.0f;
    return __builtin_convertvector(n, F) * 0.69314718f + p * t;
}

// (tanh x + 1) / 2, as the generators' last layer is used.
template <class F> INLINE F share(F x) { return 1.0f / (1.0f + exponential(-2.0f * x)); }
