// The night as the light generator sees it, and the picture that is put together from what the generator gives.
#include "simd.h"

constexpr float FULL = 10, SHOWN = 6, SURELY_SHOWN = 9, DOUBTED = 3, SURELY_DOUBTED = 6;

// Vectors at the end of a row that is no whole number of them.
template <class F> INLINE F load_some(const float *from, int count) {
    if (count >= LANES<F>) return load<F>(from);
    F x = {};
    memcpy(&x, from, sizeof(float) * count);
    return x;
}

template <class F> INLINE void store_some(float *to, F x, int count) {
    if (count >= LANES<F>) store(to, x);
    else memcpy(to, &x, sizeof(float) * count);
}

// Grey levels, float (12, h, w) → the picture in [-1, 1].
template <class F> INLINE void nightday_scaled_of(const float *four, int h, int w, float *out) {
    for (long i = 0; i < 12L * h * w; i++) out[i] = four[i] * (2.0f / 255) - 1;
}
FOR_EACH_PROCESSOR(nightday_scaled, (const float *four, int h, int w, float *out), (four, h, w, out))

// Grey levels and gain, float (12, h, w) each → the relit night (12, h, w) and means of four pixels (3, h, w).
template <class F> INLINE void nightday_relit_of(const float *four, const float *gain, int h, int w, float *relit, float *small) {
    long plane = (long)h * w;
    for (int c = 0; c < 3; c++) {
        for (long i = 0; i < 4 * plane; i++) {
            float bright = four[4 * c * plane + i] * gain[4 * c * plane + i] * (1.0f / 255);
            relit[4 * c * plane + i] = (bright < 1 ? bright : 1) * 2 - 1;
        }
        const float *a = four + 4 * c * plane, *b = a + plane, *d = b + plane, *e = d + plane;
        for (long i = 0; i < plane; i++)
            small[c * plane + i] = ((a[i] + b[i]) + (d[i] + e[i])) * (0.5f / 255) - 1;
    }
}
FOR_EACH_PROCESSOR(
    nightday_relit, (const float *four, const float *gain, int h, int w, float *relit, float *small),
    (four, gain, h, w, relit, small))

// Whether any of the values, none below 0, is above it.
template <class F> INLINE bool any(F x) {
    float sum = 0;
    for (int i = 0; i < LANES<F>; i++) sum += x[i];
    return sum > 0;
}

// Float 0 to 1 as bytes, in the low byte of each.
template <class F> INLINE IntsOf<F> to_byte(F x) { return nearest(clamp(x * 255.0f, 0, 255)); }

// Four pixels in each of three channels of a row of places → two rows of RGB. `bytes`: (3, 2, 2, padded(w)).
INLINE void write_rows(const int32_t *bytes, int stride, int y, int height, int width, uint8_t *out) {
    for (int down = 0; down < 2; down++) {
        if (2 * y + down >= height) return;
        uint8_t *to = out + (long)(2 * y + down) * width * 3;
        const int32_t *plane[6];
        for (int c = 0; c < 3; c++)
            for (int side = 0; side < 2; side++)
                plane[side * 3 + c] = bytes + ((long)c * 4 + down * 2 + side) * stride;
        int whole = width / 2;
        for (int x = 0; x < whole; x++) {
            uint64_t six = 0;
            for (int k = 0; k < 6; k++) six |= (uint64_t)(uint32_t)plane[k][x] << (8 * k);
            // Eight bytes, of which the next pixels write over the last two.
            if (x + 1 < whole) memcpy(to + 6 * x, &six, 8);
            else memcpy(to + 6 * x, &six, 6);
        }
        if (width & 1)
            for (int c = 0; c < 3; c++) to[3 * (width - 1) + c] = (uint8_t)plane[c][whole];
    }
}

// The last layer of a generator that draws a picture (channels = 12), or a picture and a mask over x_ref (16): before the
// hyperbolic tangent, float (channels, h, w); x_ref (12, h, w) in [-1, 1] → RGB.
template <class F> INLINE void nightday_drawn_of(
    const float *before, const float *reference, int h, int w, int height, int width, uint8_t *day, float *work) {
    long plane = (long)h * w;
    int vectors = (w + LANES<F> - 1) / LANES<F>;
    IntsOf<F> *bytes = (IntsOf<F> *)work;
    for (int y = 0; y < h; y++) {
        for (int v = 0; v < vectors; v++) {
            int x = v * LANES<F>, count = w - x;
            for (int k = 0; k < 4; k++) {
                long at = k * plane + (long)y * w + x;
                F alpha = {};
                if (reference) alpha = share(load_some<F>(before + 12 * plane + at, count));
                for (int c = 0; c < 3; c++) {
                    F drawn = share(load_some<F>(before + 4 * c * plane + at, count));
                    if (reference) {
                        F known = load_some<F>(reference + 4 * c * plane + at, count) * 0.5f + 0.5f;
                        drawn = known + alpha * (drawn - known);
                    }
                    bytes[(c * 4 + k) * vectors + v] = to_byte(drawn);
                }
            }
        }
        write_rows((const int32_t *)bytes, vectors * LANES<F>, y, height, width, day);
    }
}
FOR_EACH_PROCESSOR(
    nightday_drawn,
    (const float *before, const float *reference, int h, int w, int height, int width, uint8_t *day, float *work),
    (before, reference, h, w, height, width, day, work))

// A row of (h, w) interpolated to the four pixels of each place, padded by an edge: (4, padded(w)).
template <class F> INLINE void four_of(const float *x, int h, int w, int y, float *line, float *out, int stride) {
    for (int down = 0; down < 2; down++) {
        int far = down ? (y < h - 1 ? y + 1 : y) : (y > 0 ? y - 1 : y);
        const float *a = x + (long)y * w, *b = x + (long)far * w;
        float *middle = line + WIDEST;
        for (int i = 0; i < w; i++) middle[i] = 0.75f * a[i] + 0.25f * b[i];
        middle[-1] = middle[0];
        middle[w] = middle[w - 1];
        for (int i = 0; i < w; i += LANES<F>) {
            store(out + (down * 2) * stride + i, 0.75f * load<F>(middle + i) + 0.25f * load<F>(middle + i - 1));
            store(out + (down * 2 + 1) * stride + i, 0.75f * load<F>(middle + i) + 0.25f * load<F>(middle + i + 1));
        }
    }
}

// Whether nothing is drawn, shown or doubted in a row.
INLINE bool is_still(const float *strength, const float *near, int h, int w, int y) {
    long plane = (long)h * w;
    float most_near = 0, most_strength = 0;
    int above = y > 0 ? y - 1 : y, below = y < h - 1 ? y + 1 : y;
#pragma omp simd reduction(max : most_near)
    for (long i = (long)above * w; i < (long)(below + 1) * w; i++) most_near = near[i] > most_near ? near[i] : most_near;
    for (int k = 0; k < 4; k++) {
        const float *row = strength + k * plane + (long)y * w;
#pragma omp simd reduction(max : most_strength)
        for (int i = 0; i < w; i++) most_strength = row[i] > most_strength ? row[i] : most_strength;
    }
    return most_near == 0 && most_strength * FULL <= DOUBTED;
}

// Copies two rows of RGB.
INLINE void copy_rows(const uint8_t *from, int y, int height, int width, uint8_t *to) {
    long row = 3L * width, begin = 2 * y * row;
    memcpy(to + begin, from + begin, (2 * y + 1 < height ? 2 : 1) * row);
}

// See LayeredGenerator.compose. The error expected of a still night, float (4, h, w), counts where nothing is near, and what comes
// of it for a whole night is in still_day and still_trust; unless `whole`, when that in `before`, float (24, h, w), does.
template <class F>
INLINE void nightday_layers_of(
    const float *before, int whole, const float *error, const float *relit, const float *strength, const float *near,
    const float *dark, const float *reference, int h, int w, int height, int width, const uint8_t *still_day,
    const uint8_t *still_trust, uint8_t *day, uint8_t *trust, float *work) {
    long plane = (long)h * w;
    int vectors = (w + LANES<F> - 1) / LANES<F>, stride = padded(w) + 2 * WIDEST;
    IntsOf<F> *bytes = (IntsOf<F> *)work, *trust_bytes = bytes + 12 * vectors;
    float *line = (float *)(trust_bytes + 12 * vectors), *near_four = line + stride, *dark_four = near_four + 4 * stride;
    for (int y = 0; y < h; y++) {
        if (2 * y >= height) break;
        if (!whole && still_day && is_still(strength, near, h, w, y)) {
            copy_rows(still_day, y, height, width, day);
            copy_rows(still_trust, y, height, width, trust);
            continue;
        }
        four_of<F>(near, h, w, y, line, near_four, stride);
        four_of<F>(dark, h, w, y, line, dark_four, stride);
        for (int v = 0; v < vectors; v++) {
            int x = v * LANES<F>, count = w - x;
            for (int k = 0; k < 4; k++) {
                long at = k * plane + (long)y * w + x;
                F alpha = {}, kappa = {}, close = load<F>(near_four + k * stride + x);
                F expected = load_some<F>((whole ? before + 20 * plane : error) + at, count);
                // Most of a picture is like its backgrounds, and needs none of this.
                bool drawn = before && any(close);
                if (drawn) {
                    alpha = share(load_some<F>(before + 12 * plane + at, count)) * close;
                    kappa = share(load_some<F>(before + 16 * plane + at, count));
                    expected = close > 0 ? load_some<F>(before + 20 * plane + at, count) : expected;
                }
                F wrong = share(expected);
                F seen = load_some<F>(strength + at, count) * FULL;
                F shown = between(seen, SHOWN, SURELY_SHOWN);
                F present = alpha + (1 - alpha) * shown;
                F relit_share = alpha * kappa + (1 - alpha) * shown, drawn_share = alpha * (1 - kappa);
                for (int c = 0; c < 3; c++) {
                    long here = 4 * c * plane + at;
                    F known = load_some<F>(reference + here, count) * 0.5f + 0.5f;
                    F bright = clamp(load_some<F>(relit + here, count) * 0.5f + 0.5f, 0, 1);
                    F made = known + relit_share * (bright - known);
                    if (drawn) made += drawn_share * (share(load_some<F>(before + here, count)) - known);
                    bytes[(c * 4 + k) * vectors + v] = to_byte(made);
                }
                F doubt = most(between(seen, DOUBTED, SURELY_DOUBTED), load<F>(dark_four + k * stride + x));
                F unclear = wrong + (1 - wrong) * doubt * (1 - present);
                trust_bytes[k * vectors + v] = to_byte((1 - unclear) * present);
                trust_bytes[(4 + k) * vectors + v] = to_byte((1 - unclear) * (1 - present));
                trust_bytes[(8 + k) * vectors + v] = to_byte(unclear);
            }
        }
        write_rows((const int32_t *)bytes, vectors * LANES<F>, y, height, width, day);
        write_rows((const int32_t *)trust_bytes, vectors * LANES<F>, y, height, width, trust);
    }
}
FOR_EACH_PROCESSOR(
    nightday_layers,
    (const float *before, int whole, const float *error, const float *relit, const float *strength, const float *near,
     const float *dark, const float *reference, int h, int w, int height, int width, const uint8_t *still_day,
     const uint8_t *still_trust, uint8_t *day, uint8_t *trust, float *work),
    (before, whole, error, relit, strength, near, dark, reference, h, w, height, width, still_day, still_trust, day, trust,
     work))
