/*
 * MAIL's recurrence (section 4.2, eq. 2-5) over many sequences, for kernel.py.
 *
 * The file includes itself once for each width of vectors that a processor may have. Weights are read from the second
 * level of the cache and states from the first; what a step costs then is its multiplications, of which two vectors
 * a cycle are reached for four sequences and more.
 */

#ifndef LANES

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SEQUENCES 20 /* are carried on together */
#define ROWS 5       /* sequences share each weight that is loaded: their sums fill the registers */
#define PANEL 64     /* columns of weights lie together, which fit the first level of the cache */
#define ALIGNED 16   /* floats: a vector that crosses two lines of the cache takes twice as long */

#define INLINE static inline __attribute__((always_inline))
#define WITH_LANES(name, lanes) name##_##lanes
#define WITH(name, lanes) WITH_LANES(name, lanes)
#define NAME(name) WITH(name, LANES)

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define WIDER_VECTORS
#pragma GCC push_options
#pragma GCC target("avx512f")
#define LANES 16
#include "gru.c"
#undef LANES
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LANES 8
#include "gru.c"
#undef LANES
#pragma GCC pop_options
#endif

#define LANES 4
#include "gru.c"
#undef LANES

/* What weights and work have to be laid out by, for a model of any size. */
const size_t grus_panel = PANEL, grus_aligned = ALIGNED;

/* How many floats `grus` works in. */
size_t grus_work(size_t hidden, size_t channels) {
    return SEQUENCES * (5 * hidden + 2 * (channels + ALIGNED)); /* rows of both inputs, gates, candidates */
}

/*
 * Carry on the sequences of several scales, which follow each other in all arrays: shapes (scales, 2) steps L and
 * sequences N, of which a scale has one at least; for each scale steps (L, N, channels) and lengths (N,); states (N,
 * hidden), which are replaced. hidden is a multiple of ALIGNED, and weights and work lie on such addresses. The columns
 * of gates (scales, size, 2 hidden) and candidates (scales, size, hidden), size = hidden + channels + 1, lie in
 * panels. Vectors have up to `lanes` floats.
 */
void grus(size_t lanes, size_t scales, size_t hidden, size_t channels, const float *gates, const float *candidates,
          const size_t *shapes, const float *steps, const int32_t *lengths, float *states, float *work) {
    (void)lanes;
    size_t weights = hidden * (hidden + channels + 1);
    for (; scales; scales--, shapes += 2, gates += 2 * weights, candidates += weights) {
        size_t count = shapes[1], step = count * channels;
        const float *first = steps;
        for (size_t done = 0, some; done < count; done += some) {
            some = count - done < SEQUENCES ? count - done : SEQUENCES;
#ifdef WIDER_VECTORS
            if (lanes >= 16 && __builtin_cpu_supports("avx512f"))
                carry_on_16(some, hidden, channels, gates, candidates, first, step, lengths, states, work);
            else if (lanes >= 8 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
                carry_on_8(some, hidden, channels, gates, candidates, first, step, lengths, states, work);
            else
#endif
                carry_on_4(some, hidden, channels, gates, candidates, first, step, lengths, states, work);
            first += some * channels, lengths += some, states += some * hidden;
        }
        steps += shapes[0] * step;
    }
}

#else

typedef float NAME(floats) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t NAME(ints) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define floats NAME(floats)
#define ints NAME(ints)
#define AT(place) (*(floats *)(place))

/* 1 + 2^x, x limited to +-60, by a polynomial between whole numbers (relative error 1e-7). */
INLINE floats NAME(one_and_power)(floats x) {
    ints low = x < -60.0f, high = x > 60.0f;
    const floats most = (floats){0} + 60.0f;
    x = (floats)(((ints)x & ~(low | high)) | ((ints)most & high) | ((ints)-most & low));
    floats shifted = x + 12582912.0f; /* 1.5 * 2^23: the nearest whole number comes to lie in the lowest bits */
    floats rest = x - (shifted - 12582912.0f);
    floats power = rest * 1.327647129e-3f + 9.675541893e-3f;
    power = power * rest + 5.550713092e-2f;
    power = power * rest + 2.402212024e-1f;
    power = power * rest + 6.931469440e-1f;
    power = power * rest + 1.000000119f;
    return 1.0f + (floats)((ints)power + ((ints)shifted << 23));
}

/* out (rows, vectors * LANES) = in (rows, size) times weights (size, vectors * LANES), in registers. */
INLINE void NAME(tile)(int rows, int vectors, const float *in, size_t stride, size_t size, const float *weights,
                       size_t width, float *out, size_t columns) {
    floats sums[ROWS * 4];
#pragma GCC unroll 20
    for (int i = 0; i < rows * vectors; i++) sums[i] = (floats){0};
#pragma GCC unroll 2 /* without, GCC moves sums about */
    for (size_t k = 0; k < size; k++, weights += width) {
#pragma GCC unroll 5
        for (int row = 0; row < rows; row++) {
#pragma GCC unroll 4
            for (int i = 0; i < vectors; i++)
                sums[row * vectors + i] += in[row * stride + k] * AT(weights + i * LANES);
        }
    }
#pragma GCC unroll 5
    for (int row = 0; row < rows; row++) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) AT(out + row * columns + i * LANES) = sums[row * vectors + i];
    }
}

INLINE void NAME(tiles)(int rows, const float *in, size_t stride, size_t size, const float *weights, size_t width,
                        float *out, size_t columns) {
    size_t c = 0;
    if (LANES == 16 || rows <= 2) /* narrower vectors have 16 registers */
        for (; c + 4 * LANES <= width; c += 4 * LANES)
            NAME(tile)(rows, 4, in, stride, size, weights + c, width, out + c, columns);
    for (; c + 2 * LANES <= width; c += 2 * LANES)
        NAME(tile)(rows, 2, in, stride, size, weights + c, width, out + c, columns);
    for (; c < width; c += LANES) NAME(tile)(rows, 1, in, stride, size, weights + c, width, out + c, columns);
}

/* out (count, columns) = in (count, size) times weights (size, columns) in panels. */
INLINE void NAME(product)(size_t count, const float *in, size_t stride, size_t size, const float *weights,
                          size_t columns, float *out) {
    for (size_t column = 0; column < columns; column += PANEL, weights += PANEL * size) {
        size_t width = columns - column < PANEL ? columns - column : PANEL;
        for (size_t row = 0, rows; row < count; row += rows) {
            const float *from = in + row * stride;
            float *to = out + row * columns + column;
            size_t left = count - row;
            rows = left <= ROWS ? left : left < 2 * ROWS ? (left + 1) / 2 : ROWS;
            switch (rows) {
            case 1: NAME(tiles)(1, from, stride, size, weights, width, to, columns); break;
            case 2: NAME(tiles)(2, from, stride, size, weights, width, to, columns); break;
            case 3: NAME(tiles)(3, from, stride, size, weights, width, to, columns); break;
            case 4: NAME(tiles)(4, from, stride, size, weights, width, to, columns); break;
            default: NAME(tiles)(ROWS, from, stride, size, weights, width, to, columns);
            }
        }
    }
}

static void NAME(carry_on)(size_t count, size_t hidden, size_t channels, const float *gates, const float *candidate,
                           const float *x, size_t step, const int32_t *lengths, float *states, float *work) {
    size_t size = hidden + channels + 1, stride = (size + ALIGNED - 1) / ALIGNED * ALIGNED;
    float *in = work, *reset = in + count * stride; /* rows [h, x, 1] and [r * h, x, 1] */
    float *gate = reset + count * stride, *made = gate + count * 2 * hidden;
    int32_t longest = 0;
    for (size_t n = 0; n < count; n++) {
        memcpy(in + n * stride, states + n * hidden, hidden * sizeof(float));
        in[n * stride + size - 1] = reset[n * stride + size - 1] = 1.0f;
        longest = lengths[n] > longest ? lengths[n] : longest;
    }
    for (int32_t t = 0; t < longest; t++, x += step) {
        for (size_t n = 0; n < count; n++) {
            memcpy(in + n * stride + hidden, x + n * channels, channels * sizeof(float));
            memcpy(reset + n * stride + hidden, x + n * channels, channels * sizeof(float));
        }
        NAME(product)(count, in, stride, size, gates, 2 * hidden, gate);
        for (size_t n = 0; n < count; n++)
            for (size_t h = 0; h < hidden; h += LANES)
                AT(reset + n * stride + h) =
                    AT(in + n * stride + h) / NAME(one_and_power)(AT(gate + (2 * n + 1) * hidden + h)); /* eq. 3 */
        NAME(product)(count, reset, stride, size, candidate, hidden, made);
        for (size_t n = 0; n < count; n++) {
            if (t >= lengths[n]) continue;
            for (size_t h = 0; h < hidden; h += LANES) {
                floats old = AT(in + n * stride + h);
                floats z = NAME(one_and_power)(AT(gate + 2 * n * hidden + h)); /* 1 over the update gate, eq. 2 */
                floats c = NAME(one_and_power)(AT(made + n * hidden + h));     /* the candidate is 2 / c - 1, eq. 4 */
                AT(in + n * stride + h) = old + (2.0f - c * (1.0f + old)) / (z * c); /* eq. 5, by one division */
            }
        }
    }
    for (size_t n = 0; n < count; n++) memcpy(states + n * hidden, in + n * stride, hidden * sizeof(float));
}

#undef floats
#undef ints
#undef AT

#endif
