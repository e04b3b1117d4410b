// Large frames: shrunk before they are translated, and their detail brought back after that, see lift.py.
#include "simd.h"

constexpr float RED = 0.299f, GREEN = 0.587f, BLUE = 0.114f;
typedef uint8_t Bytes16 __attribute__((vector_size(16)));

// Sixteen pixels of RGB, 48 bytes → grey levels, 16 floats of each colour.
INLINE void apart(const uint8_t *rgb, float *red, float *green, float *blue) {
    Bytes16 a, b, c;
    memcpy(&a, rgb, 16);
    memcpy(&b, rgb + 16, 16);
    memcpy(&c, rgb + 32, 16);
    Bytes16 r = __builtin_shufflevector(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
    Bytes16 g = __builtin_shufflevector(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
    Bytes16 l = __builtin_shufflevector(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
    r = __builtin_shufflevector(r, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
    g = __builtin_shufflevector(g, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
    l = __builtin_shufflevector(l, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
    uint8_t bytes[3][16];
    memcpy(bytes[0], &r, 16);
    memcpy(bytes[1], &g, 16);
    memcpy(bytes[2], &l, 16);
    for (int i = 0; i < 16; i++) {
        red[i] = bytes[0][i];
        green[i] = bytes[1][i];
        blue[i] = bytes[2][i];
    }
}

// Sixteen bytes of each colour → 48 bytes of RGB.
INLINE void together(Bytes16 r, Bytes16 g, Bytes16 b, uint8_t *rgb) {
    Bytes16 low = __builtin_shufflevector(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
    Bytes16 middle = __builtin_shufflevector(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
    Bytes16 high = __builtin_shufflevector(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
    low = __builtin_shufflevector(low, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15);
    middle = __builtin_shufflevector(middle, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15);
    high = __builtin_shufflevector(high, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31);
    memcpy(rgb, &low, 16);
    memcpy(rgb + 16, &middle, 16);
    memcpy(rgb + 32, &high, 16);
}

// Up to sixteen pixels of a row; those beyond its end are like its last one.
INLINE const uint8_t *block(const uint8_t *row, int x, int width, uint8_t *own) {
    if (x + 16 <= width) return row + 3 * x;
    for (int i = 0; i < 16; i++) memcpy(own + 3 * i, row + 3 * (x + i < width ? x + i : width - 1), 3);
    return own;
}

// Where a pixel of `large` lies among `small` ones: the one before it and the share of the next.
INLINE void place(int at, int small, int large, int *before, float *share) {
    float x = (at + 0.5f) * ((float)small / (float)large) - 0.5f;
    x = x < 0 ? 0 : x;
    *before = (int)x < small - 1 ? (int)x : small - 1;
    *share = *before < small - 1 ? x - *before : 0;
}

// uint8 (height, width, 3) → means over square cells, float (3, h, w) in [0, 1], and their luma and its variance within each,
// (2, h, w). The means are resampled where there are not h × w of them.
template <class F>
INLINE void nightday_shrink_of(
    const uint8_t *frame, int height, int width, int cell, int h, int w, float *small, float *cells, float *work) {
    int rows = (height + cell - 1) / cell, columns = (width + cell - 1) / cell, wide = padded(columns * cell);
    long plane = (long)rows * columns, wanted = (long)h * w;
    bool resampled = rows != h || columns != w;
    float *sums = work, *means = sums + 4 * wide;
    float *spread = resampled ? means + 3 * plane : cells + wanted, *colours = resampled ? means : small;
    float share = 1.0f / (cell * cell);
    uint8_t own[48];
    for (int i = 0; i < rows; i++) {
        for (int x = 0; x < 4 * wide; x++) sums[x] = 0;
        for (int k = 0; k < cell; k++) {
            int y = i * cell + k < height ? i * cell + k : height - 1;
            const uint8_t *row = frame + (long)y * width * 3;
            for (int x = 0; x < columns * cell; x += 16) {
                float red[16], green[16], blue[16];
                apart(block(row, x, width, own), red, green, blue);
                for (int v = 0; v < 16; v += LANES<F>) {
                    F r = load<F>(red + v), g = load<F>(green + v), b = load<F>(blue + v);
                    F luma = (RED * r + GREEN * g + BLUE * b) * (1.0f / 255);
                    float *to = sums + x + v;
                    store(to, load<F>(to) + r);
                    store(to + wide, load<F>(to + wide) + g);
                    store(to + 2 * wide, load<F>(to + 2 * wide) + b);
                    store(to + 3 * wide, load<F>(to + 3 * wide) + luma * luma);
                }
            }
        }
        for (int j = 0; j < columns; j++) {
            float mean[4];
            for (int c = 0; c < 4; c++) {
                float sum = 0;
                for (int k = 0; k < cell; k++) sum += sums[c * wide + j * cell + k];
                mean[c] = sum * share;
            }
            float luma = (RED * mean[0] + GREEN * mean[1] + BLUE * mean[2]) * (1.0f / 255);
            float variance = mean[3] - luma * luma;
            long at = (long)i * columns + j;
            for (int c = 0; c < 3; c++) colours[c * plane + at] = mean[c] * (1.0f / 255);
            spread[at] = variance > 0 ? variance : 0;
        }
    }
    if (resampled) {
        for (int c = 0; c < 4; c++) {
            const float *from = c < 3 ? colours + c * plane : spread;
            float *to = c < 3 ? small + c * wanted : cells + wanted;
            for (int y = 0; y < h; y++) {
                int above;
                float down;
                place(y, rows, h, &above, &down);
                const float *a = from + (long)above * columns, *b = above < rows - 1 ? a + columns : a;
                for (int x = 0; x < w; x++) {
                    int left;
                    float across;
                    place(x, columns, w, &left, &across);
                    int right = left < columns - 1 ? left + 1 : left;
                    float top = a[left] + across * (a[right] - a[left]), low = b[left] + across * (b[right] - b[left]);
                    to[(long)y * w + x] = top + down * (low - top);
                }
            }
        }
    }
    for (long i = 0; i < wanted; i++)
        cells[i] = RED * small[i] + GREEN * small[wanted + i] + BLUE * small[2 * wanted + i];
}
FOR_EACH_PROCESSOR(
    nightday_shrink,
    (const uint8_t *frame, int height, int width, int cell, int h, int w, float *small, float *cells, float *work),
    (frame, height, width, cell, h, w, small, cells, work))

// A row of a and b, (4, h, w), enlarged along x to `large` pixels: (4, padded(large)).
INLINE void enlarged(const float *line, int h, int w, int y, int large, const int *before, const float *share, float *out) {
    for (int c = 0; c < 4; c++) {
        const float *row = line + ((long)c * h + y) * w;
        float *to = out + c * padded(large);
        for (int x = 0; x < large; x++) {
            int left = before[x];
            float value = row[left];
            to[x] = value + share[x] * (row[left < w - 1 ? left + 1 : left] - value);
        }
    }
}

// a · luma + b of a night, uint8 (height, width, 3), for a and b, float (4, h, w), enlarged to whole cells → uint8 RGB.
template <class F>
INLINE void nightday_lift_of(
    const uint8_t *frame, int height, int width, int cell, const float *line, int h, int w, uint8_t *out, float *work) {
    int tall = (height + cell - 1) / cell * cell, large = (width + cell - 1) / cell * cell, wide = padded(large);
    int *before = (int *)work;
    float *share = work + wide, *kept = share + wide;
    for (int x = 0; x < large; x++) place(x, w, large, before + x, share + x);
    int have[2] = {-1, -1};
    for (int y = 0; y < height; y++) {
        int above;
        float down;
        place(y, h, tall, &above, &down);
        int below = above < h - 1 ? above + 1 : above;
        for (int one = above; one <= below; one++) {
            if (have[one & 1] == one) continue;
            enlarged(line, h, w, one, large, before, share, kept + (one & 1) * 4 * wide);
            have[one & 1] = one;
        }
        const float *top = kept + (above & 1) * 4 * wide, *low = kept + (below & 1) * 4 * wide;
        const uint8_t *row = frame + (long)y * width * 3;
        uint8_t *to = out + (long)y * width * 3;
        uint8_t own[48], made[48];
        for (int x = 0; x < width; x += 16) {
            float red[16], green[16], blue[16];
            uint8_t bytes[3][16];
            apart(block(row, x, width, own), red, green, blue);
            for (int v = 0; v < 16; v += LANES<F>) {
                F luma = (RED * load<F>(red + v) + GREEN * load<F>(green + v) + BLUE * load<F>(blue + v)) * (1.0f / 255);
                F part[4];
                for (int c = 0; c < 4; c++) {
                    F a = load<F>(top + c * wide + x + v), b = load<F>(low + c * wide + x + v);
                    part[c] = a + down * (b - a);
                }
                for (int c = 0; c < 3; c++) {
                    IntsOf<F> whole = nearest(clamp((part[0] * luma + part[1 + c]) * 255.0f, 0, 255));
                    for (int i = 0; i < LANES<F>; i++) bytes[c][v + i] = (uint8_t)whole[i];
                }
            }
            Bytes16 r, g, b;
            memcpy(&r, bytes[0], 16);
            memcpy(&g, bytes[1], 16);
            memcpy(&b, bytes[2], 16);
            if (x + 16 <= width) {
                together(r, g, b, to + 3 * x);
            } else {
                together(r, g, b, made);
                memcpy(to + 3 * x, made, 3 * (width - x));
            }
        }
    }
}
FOR_EACH_PROCESSOR(
    nightday_lift,
    (const uint8_t *frame, int height, int width, int cell, const float *line, int h, int w, uint8_t *out, float *work),
    (frame, height, width, cell, line, h, w, out, work))
