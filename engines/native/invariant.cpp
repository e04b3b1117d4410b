// The colour invariant ξ at every second pixel of every second row, see color_invariant.py for what is computed.
#include "simd.h"

constexpr float DARKEST = 1e-6f, HUE_FLOOR = 1e-10f;
constexpr int MAPS = 5;
// E, E_λ and E_λλ at the scale of each map.
constexpr int SPECTRA = 3, CHANNELS = MAPS * SPECTRA;
// Rows that are kept at most, for the largest radius, 15.
constexpr int KEPT = 32;

struct Row {
    float *smooth, *derived;
};

// The rows of the picture that were smoothed last; few, so that they stay in the processor's cache.
struct Ring {
    float *rows;
    int mask, stride;
};

INLINE Row row_of(Ring ring, int y, int channel) {
    float *at = ring.rows + ((long)(y & ring.mask) * CHANNELS + channel) * 2 * ring.stride;
    return {at, at + ring.stride};
}

// One row of the picture, smoothed and derived along x at the scale of each map, at every second pixel.
template <class F> INLINE void along_x(
    const float *four, int h, int w, int y, const float *kernels, const int *reach, int radius, float *spectrum,
    Ring ring) {
    int stride = ring.stride;
    // Spectrum: (E, E_λ, E_λλ) in hundredths of a grey level, even and odd columns apart, padded by the edge.
    int pad = (radius + 1) / 2, length = w + 2 * pad;
    int source = y < 0 ? 0 : y >= 2 * h ? 2 * h - 1 : y;
    long plane = (long)h * w;
    for (int odd = 0; odd < 2; odd++) {
        const float *red = four + (long)(((source & 1) * 2 + odd) * h + (source >> 1)) * w;
        const float *green = red + 4 * plane, *blue = green + 4 * plane;
        float *e = spectrum + odd * (stride + WIDEST), *el = e + 2 * (stride + WIDEST), *ell = el + 2 * (stride + WIDEST);
        for (int x = 0; x < w; x++) {
            float r = red[x], g = green[x], b = blue[x];
            e[pad + x] = 6 * r + 63 * g + 27 * b;
            el[pad + x] = 30 * r + 4 * g - 35 * b;
            ell[pad + x] = 34 * r - 60 * g + 17 * b;
        }
    }
    for (int s = 0; s < 3; s++) {
        float *even = spectrum + 2 * s * (stride + WIDEST), *odd = even + stride + WIDEST;
        float first = even[pad], last = odd[pad + w - 1];
        for (int x = 0; x < pad; x++) even[x] = odd[x] = first;
        for (int x = pad + w; x < length; x++) even[x] = odd[x] = last;
    }
    for (int map = 0; map < MAPS; map++) {
        const float *g = kernels + map * 2 * (2 * radius + 1) + radius, *dg = g + 2 * radius + 1;
        int far = reach[map];
        for (int s = 0; s < SPECTRA; s++) {
            const float *even = spectrum + 2 * s * (stride + WIDEST) + pad, *odd = even + stride + WIDEST;
            Row to = row_of(ring, y, map * SPECTRA + s);
            for (int x = 0; x < w; x += LANES<F>) {
                F smooth = g[0] * load<F>(even + x), derived = {};
                for (int t = 1; t <= far; t++) {
                    // The kernels are even and odd, so two pixels share a product.
                    const float *from = t & 1 ? odd : even;
                    int right = t >> 1, left = t & 1 ? -(t + 1) / 2 : -(t >> 1);
                    F a = load<F>(from + x + right), b = load<F>(from + x + left);
                    smooth += g[t] * (a + b);
                    derived += dg[t] * (a - b);
                }
                store(to.smooth + x, smooth);
                store(to.derived + x, derived);
            }
        }
    }
}

template <class F> struct Measured {
    F smooth, along, down;
};

// What along_x made of the rows around one, smoothed and derived along y.
template <class F> INLINE Measured<F> along_y(
    Ring ring, int y, int channel, int x, const float *g, const float *dg, int far) {
    Row middle = row_of(ring, y, channel);
    Measured<F> m = {g[0] * load<F>(middle.smooth + x), g[0] * load<F>(middle.derived + x), {}};
    for (int t = 1; t <= far; t++) {
        Row below = row_of(ring, y + t, channel), above = row_of(ring, y - t, channel);
        F a = load<F>(below.smooth + x), b = load<F>(above.smooth + x);
        m.smooth += g[t] * (a + b);
        m.down += dg[t] * (a - b);
        m.along += g[t] * (load<F>(below.derived + x) + load<F>(above.derived + x));
    }
    return m;
}

template <class F> INLINE F square(F x) { return x * x; }

template <class F> struct Ratios {
    F a, b, along_l, down_l, along_ll, down_ll;
};

template <class F> INLINE Ratios<F> ratios(const Measured<F> *m) {
    F scale = 1.0f / most(m[0].smooth, all<F>(DARKEST));
    Ratios<F> r;
    r.a = m[1].smooth * scale;
    r.b = m[2].smooth * scale;
    F along = m[0].along * scale, down = m[0].down * scale;
    r.along_l = m[1].along * scale - r.a * along;
    r.down_l = m[1].down * scale - r.a * down;
    r.along_ll = m[2].along * scale - r.b * along;
    r.down_ll = m[2].down * scale - r.b * down;
    return r;
}

// The logarithms of one row of a map's squared edges.
template <class F, int MAP>
INLINE void row_of_map(
    Ring ring, int y, int w, const float *g, const float *dg, int far, float floor, float *line) {
    for (int x = 0; x < w; x += LANES<F>) {
        Measured<F> m[SPECTRA];
        for (int s = 0; s < SPECTRA; s++)
            m[s] = along_y<F>(ring, 2 * y, MAP * SPECTRA + s, x, g, dg, far);
        F edge = {};
        if constexpr (MAP == 0) {
            for (int s = 0; s < SPECTRA; s++) edge += square(m[s].along) + square(m[s].down);
        } else if constexpr (MAP == 1) {
            F scale = 1.0f / most(m[0].smooth, all<F>(DARKEST));
            for (int s = 0; s < SPECTRA; s++) edge += square(m[s].along * scale) + square(m[s].down * scale);
        } else if constexpr (MAP == 2) {
            Ratios<F> r = ratios(m);
            edge = square(r.along_l) + square(r.along_ll) + square(r.down_l) + square(r.down_ll);
        } else if constexpr (MAP == 3) {
            Ratios<F> r = ratios(m);
            edge = square(r.along_l) + square(r.along_ll - 2.0f * r.a * r.along_l) + square(r.down_l) +
                   square(r.down_ll - 2.0f * r.a * r.down_l);
        } else {
            F energy = 1.0f / most(m[0].smooth, all<F>(DARKEST));
            F a = m[1].smooth * energy, b = m[2].smooth * energy;
            F scale = energy / most(a * a + b * b, all<F>(HUE_FLOOR));
            edge = square((m[1].along * b - a * m[2].along) * scale) +
                   square((m[1].down * b - a * m[2].down) * scale);
        }
        store(line + x, logarithm(edge + floor));
    }
}

// Grey levels, float (3, 4, h, w) → ξ, float (5, h, w). Kernels: for each map a Gaussian and its derivative, 2 · radius + 1
// values each, of which those that count reach reach[map] values to each side. Those for y are divided by 25500.
// Work: (KEPT · 30 + 7) · (padded(w) + WIDEST + 2 · radius) floats.
template <class F> INLINE void nightday_invariant_of(
    const float *four, int h, int w, const float *kernels, const float *kernels_y, const int *reach, int radius,
    const float *log_floor, const float *weight, float *out, float *work) {
    int stride = padded(w) + WIDEST + 2 * radius;
    stride = padded(stride);
    float *spectrum = work + (long)KEPT * CHANNELS * 2 * stride, *line = spectrum + 6 * (stride + WIDEST);
    int furthest = 0;
    for (int map = 0; map < MAPS; map++) furthest = reach[map] > furthest ? reach[map] : furthest;
    int kept = 4;
    while (kept < 2 * furthest + 2) kept *= 2;
    Ring ring = {work, kept - 1, stride};
    int ready = -furthest;  // rows before it are in the ring
    double sums[MAPS] = {}, squares[MAPS] = {};
    long plane = (long)h * w;
    int taps = 2 * radius + 1;
    for (int y = 0; y < h; y++) {
        for (; ready <= 2 * y + furthest; ready++)
            along_x<F>(four, h, w, ready, kernels, reach, radius, spectrum, ring);
        for (int map = 0; map < MAPS; map++) {
            const float *g = kernels_y + map * 2 * taps + radius, *dg = g + taps;
            float floor = log_floor[map];
            int far = reach[map];
            if (map == 0) row_of_map<F, 0>(ring, y, w, g, dg, far, floor, line);
            else if (map == 1) row_of_map<F, 1>(ring, y, w, g, dg, far, floor, line);
            else if (map == 2) row_of_map<F, 2>(ring, y, w, g, dg, far, floor, line);
            else if (map == 3) row_of_map<F, 3>(ring, y, w, g, dg, far, floor, line);
            else row_of_map<F, 4>(ring, y, w, g, dg, far, floor, line);
            float sum = 0, squared = 0;
#pragma omp simd reduction(+ : sum, squared)
            for (int x = 0; x < w; x++) {
                sum += line[x];
                squared += line[x] * line[x];
            }
            sums[map] += sum;
            squares[map] += squared;
            memcpy(out + map * plane + (long)y * w, line, sizeof(float) * w);
        }
    }
    for (int map = 0; map < MAPS; map++) {
        double mean = sums[map] / plane, variance = squares[map] / plane - mean * mean;
        float scale = (float)(weight[map] / std::sqrt((variance > 0 ? variance : 0) + 1e-5)), middle = (float)mean;
        float *values = out + map * plane;
        for (long i = 0; i < plane; i++) values[i] = (values[i] - middle) * scale;
    }
}
FOR_EACH_PROCESSOR(
    nightday_invariant,
    (const float *four, int h, int w, const float *kernels, const float *kernels_y, const int *reach, int radius,
     const float *log_floor, const float *weight, float *out, float *work),
    (four, h, w, kernels, kernels_y, reach, radius, log_floor, weight, out, work))
