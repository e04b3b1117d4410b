// What the light generator sees of a night beside its backgrounds, see evidence.py and NightToDay.see_beside.
#include "simd.h"

constexpr float DARK = 4.0f / 255, LEAST_NOISE = 1.0f / 255, LEAST_OF_SQUARES = 1.3f / 255;
constexpr float FULL = 10, FAINT = 3.5f, CLEAR = 5.5f, PLAIN = 0.2f;
constexpr int CELL = 4;  // 8 pixels

// Sums over 4 × 4 pixels: grey levels, (3, 4, h, w) → (3, h/2, w/2).
INLINE void sums_of_squares(const float *four, int h, int w, float *squares) {
    long plane = (long)h * w;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < h / 2; i++) {
            float *to = squares + (c * (h / 2L) + i) * (w / 2);
            for (int j = 0; j < w / 2; j++) to[j] = 0;
            for (int k = 0; k < 8; k++) {
                const float *row = four + (4 * c + k / 2) * plane + (long)(2 * i + k % 2) * w;
                for (int j = 0; j < w / 2; j++) to[j] += row[2 * j] + row[2 * j + 1];
            }
        }
}

// Means over 8 × 8 pixels, smoothed over 3 × 3 of them: grey levels, sums over 4 × 4 → [0, 1], (3, rows, columns).
INLINE void light(const float *squares, int rows, int columns, float *raw, float *cells) {
    long size = (long)rows * columns;
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < rows; i++) {
            const float *top = squares + (c * 2L * rows + 2 * i) * 2 * columns, *bottom = top + 2 * columns;
            float *to = raw + c * size + (long)i * columns;
            for (int j = 0; j < columns; j++)
                to[j] = (top[2 * j] + top[2 * j + 1]) + (bottom[2 * j] + bottom[2 * j + 1]);
        }
        for (int i = 0; i < rows; i++) {
            int top = i > 0 ? i - 1 : 0, bottom = i < rows - 1 ? i + 1 : i;
            for (int j = 0; j < columns; j++) {
                int left = j > 0 ? j - 1 : 0, right = j < columns - 1 ? j + 1 : j;
                float sum = 0;
                for (int a = top; a <= bottom; a++)
                    for (int b = left; b <= right; b++) sum += raw[c * size + (long)a * columns + b];
                cells[c * size + (long)i * columns + j] =
                    sum / (64 * 255.0f * (bottom - top + 1) * (right - left + 1));
            }
        }
    }
}

// The cells of a row, interpolated to every pixel along it: (columns) → even and odd pixels, (2, w).
INLINE void widened(const float *cells, int columns, int w, float *to) {
    for (int j = 0; j < columns; j++) {
        float left = cells[j > 0 ? j - 1 : 0], middle = cells[j], right = cells[j < columns - 1 ? j + 1 : j];
        for (int k = 0; k < 2 * CELL; k++) {
            float at = (k + 0.5f) / 8 - 0.5f;
            float value = at < 0 ? middle + at * (middle - left) : middle + at * (right - middle);
            to[(k & 1) * w + CELL * j + (k >> 1)] = value;
        }
    }
}

// Sums of three neighbours along rows and columns over how many of them there are: (4, h, w) → the same.
template <class F> INLINE void box(const float *x, int h, int w, float *out, float *work) {
    long plane = (long)h * w;
    int stride = padded(w) + 2 * WIDEST;
    // Sums along the rows 2 y - 1 to 2 y + 2, even and odd columns each.
    float *line = work + 8 * stride;
    for (int y = 0; y < h; y++) {
        int from = 2 * y - 1, to = 2 * y + 2;
        for (int row = from; row <= to; row++) {
            if (row < 0 || row >= 2 * h) continue;
            float *sums = work + (long)(row & 3) * 2 * stride;
            // The two rows before were summed for the last y.
            if (y > 0 && row <= 2 * y) continue;
            const float *even = x + (row & 1) * 2 * plane + (long)(row >> 1) * w, *odd = even + plane;
            float *a = line + WIDEST, *b = line + stride + WIDEST;
            memcpy(a, even, sizeof(float) * w);
            memcpy(b, odd, sizeof(float) * w);
            b[-1] = 0;
            a[w] = 0;
            for (int i = 0; i < w; i += LANES<F>) {
                F both = load<F>(a + i) + load<F>(b + i);
                store(sums + i, both + load<F>(b + i - 1));
                store(sums + stride + i, both + load<F>(a + i + 1));
            }
            sums[0] *= 1.5f;
            sums[stride + w - 1] *= 1.5f;
        }
        for (int odd = 0; odd < 2; odd++) {
            int row = 2 * y + odd, count = 1 + (row > 0) + (row < 2 * h - 1);
            for (int side = 0; side < 2; side++) {
                float *to_row = out + (odd * 2 + side) * plane + (long)y * w;
                for (int i = 0; i < w; i += LANES<F>) {
                    F sum = {};
                    for (int r = row - 1; r <= row + 1; r++)
                        if (r >= 0 && r < 2 * h) sum += load<F>(work + (long)((r & 3) * 2 + side) * stride + i);
                    sum *= 1.0f / (3 * count);
                    if (i + LANES<F> <= w) store(to_row + i, sum);
                    else memcpy(to_row + i, &sum, sizeof(float) * (w - i));
                }
            }
        }
    }
}

struct Noise {
    float read, shot;
    // One over the difference that noise makes at a luma.
    float scale(float luma, float least) const {
        float square = read + shot * luma;
        return 1 / std::sqrt(square > least * least ? square : least * least);
    }
};

// difference² = read² + shot · luma by least squares over what is not far above the usual.
INLINE Noise noise(const float *difference, const float *luma, long count, int rounds, double most) {
    double limit = INFINITY;
    for (int round = 0; round < rounds; round++) {
        double sum = 0, kept = 0;
        for (long i = 0; i < count; i += 4096) {
            float part = 0, part_kept = 0, most_square = (float)limit;
            long end = i + 4096 < count ? i + 4096 : count;
#pragma omp simd reduction(+ : part, part_kept)
            for (long k = i; k < end; k++) {
                float square = difference[k] * difference[k];
                float keep = square <= most_square ? 1.0f : 0.0f;
                part += keep * square;
                part_kept += keep;
            }
            sum += part;
            kept += part_kept;
        }
        limit = most * (sum / count) / (kept / count + 1e-6);
    }
    double kept = 0, sum_luma = 0, sum_square = 0, sum_luma2 = 0, sum_both = 0;
    for (long i = 0; i < count; i += 4096) {
        float k0 = 0, k1 = 0, k2 = 0, k3 = 0, k4 = 0, most_square = (float)limit;
        long end = i + 4096 < count ? i + 4096 : count;
#pragma omp simd reduction(+ : k0, k1, k2, k3, k4)
        for (long k = i; k < end; k++) {
            float square = difference[k] * difference[k];
            float keep = square <= most_square ? 1.0f : 0.0f, weighted = keep * luma[k];
            k0 += keep;
            k1 += weighted;
            k2 += keep * square;
            k3 += weighted * luma[k];
            k4 += weighted * square;
        }
        kept += k0;
        sum_luma += k1;
        sum_square += k2;
        sum_luma2 += k3;
        sum_both += k4;
    }
    // Means of weight · value, where weights are keep / (mean keep + 1e-6).
    double weight = 1 / (kept / count + 1e-6) / count;
    double mean_luma = weight * sum_luma, mean_square = weight * sum_square, sum = weight * kept;
    double both = weight * sum_both - mean_luma * mean_square;
    double spread = weight * sum_luma2 - 2 * mean_luma * mean_luma + mean_luma * mean_luma * sum;
    double shot = both / (spread + 1e-5);
    shot = shot > 0 ? shot : 0;
    double read = mean_square - shot * mean_luma;
    return {(float)(read > 0 ? read : 0), (float)shot};
}

// The largest of 5 × 5 neighbours: (rows, columns) → the same.
INLINE void widest(float *x, int rows, int columns, float *work) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            float top = 0;
            for (int k = i > 2 ? i - 2 : 0; k <= i + 2 && k < rows; k++) {
                float value = x[(long)k * columns + j];
                top = value > top ? value : top;
            }
            work[(long)i * columns + j] = top;
        }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            float top = 0;
            for (int k = j > 2 ? j - 2 : 0; k <= j + 2 && k < columns; k++) {
                float value = work[(long)i * columns + k];
                top = value > top ? value : top;
            }
            x[(long)i * columns + j] = top;
        }
}

// Bilinear interpolation to twice the size: (rows, columns) → (2 rows, 2 columns).
INLINE void doubled(const float *x, int rows, int columns, float *out) {
    for (int y = 0; y < 2 * rows; y++) {
        int near = y >> 1, far = y & 1 ? near + 1 : near - 1;
        far = far < 0 ? 0 : far >= rows ? rows - 1 : far;
        const float *a = x + (long)near * columns, *b = x + (long)far * columns;
        float *to = out + (long)y * 2 * columns;
        for (int j = 0; j < columns; j++) {
            int left = j > 0 ? j - 1 : 0, right = j < columns - 1 ? j + 1 : j;
            float middle = 0.75f * a[j] + 0.25f * b[j];
            to[2 * j] = 0.75f * middle + 0.25f * (0.75f * a[left] + 0.25f * b[left]);
            to[2 * j + 1] = 0.75f * middle + 0.25f * (0.75f * a[right] + 0.25f * b[right]);
        }
    }
}

// Magnitudes of means over 3 × 3 neighbours, over fewer at the border: (rows, columns) → the same.
INLINE void smoothed(const float *x, int rows, int columns, float *line, float *to) {
    float *of_three = line + 1;
    for (int i = 0; i < rows; i++) {
        const float *middle = x + (long)i * columns;
        const float *above = i > 0 ? middle - columns : middle, *below = i < rows - 1 ? middle + columns : middle;
        int count = 1 + (i > 0) + (i < rows - 1);
        // The row itself is in twice where there is none beside it.
        float own = count - 2.0f;
        for (int j = 0; j < columns; j++) of_three[j] = above[j] + below[j] + own * middle[j];
        line[0] = of_three[columns] = 0;
        float scale = 1.0f / (3 * count), *to_row = to + (long)i * columns;
        for (int j = 0; j < columns; j++)
            to_row[j] = std::fabs(of_three[j - 1] + of_three[j] + of_three[j + 1]) * scale;
        to_row[0] *= 1.5f;
        to_row[columns - 1] *= 1.5f;
    }
}

// Strength and near of a night, both as the generator sees them. ``usual_squares`` are means over 4 × 4 of ``usual``.
template <class F> INLINE void nightday_evidence_of(
    const float *four, int h, int w, const float *usual, const float *luma, const float *usual_squares,
    const float *usual_cells, float *strength, float *near, float *quarter, float *work) {
    long plane = (long)h * w, small = plane / 4;
    int rows = h / CELL, columns = w / CELL, stride = padded(w) + 2 * WIDEST;
    long cells_size = (long)rows * columns;
    float *least_difference = work, *box_work = least_difference + 4 * plane + WIDEST;
    float *squares = box_work + 10 * stride, *any = squares + 3 * small;
    float *plain = any + small, *other = plain + small, *change = other + small;
    float *raw = change + small, *cells = raw + 3 * cells_size;
    float *wide = cells + 3 * cells_size;
    sums_of_squares(four, h, w, squares);
    light(squares, rows, columns, raw, cells);
    for (long i = 0; i < 3 * cells_size; i++) cells[i] = (cells[i] + DARK) / (usual_cells[i] + DARK);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < rows; i++)
            widened(cells + c * cells_size + (long)i * columns, columns, w, wide + ((long)c * rows + i) * 2 * w);
    // Rows are written in the order in which they lie, as the last vector of each runs over into the next.
    for (int k = 0; k < 4; k++) {
        for (int y = 0; y < h; y++) {
            // Between the middles of two rows of cells.
            float at = (2 * y + (k >> 1) + 0.5f) / 8 - 0.5f;
            int above = (int)std::floor(at), below = above + 1;
            float part = at - above;
            above = above < 0 ? 0 : above;
            below = below >= rows ? rows - 1 : below;
            long place = k * plane + (long)y * w;
            for (int x = 0; x < w; x += LANES<F>) {
                F least_most = {};
                for (int c = 0; c < 3; c++) {
                    const float *up = wide + (((long)c * rows + above) * 2 + (k & 1)) * w + x;
                    const float *down = wide + (((long)c * rows + below) * 2 + (k & 1)) * w + x;
                    F changed = load<F>(up) * (1 - part) + load<F>(down) * part;
                    F night = load<F>(four + 4 * c * plane + place + x) * (1.0f / 255);
                    F known = load<F>(usual + 4 * c * plane + place + x);
                    F plain = magnitude(night - known), other = magnitude(night - known * changed);
                    least_most = most(least_most, least(plain, other));
                }
                store(least_difference + place + x, least_most);
            }
        }
    }
    box<F>(least_difference, h, w, strength, box_work);
    Noise of_pixels = noise(strength, luma, plane, 3, 6);
    for (long i = 0; i < 4 * plane; i++) {
        float share = strength[i] * of_pixels.scale(luma[i], LEAST_NOISE) * (1 / FULL);
        strength[i] = share < 1 ? share : 1;
    }
    for (long i = 0; i < small; i++) quarter[i] = any[i] = 0;
    for (int c = 0; c < 3; c++) {
        const float *night = squares + c * small, *known = usual_squares + c * small;
        float *difference = least_difference, *other_difference = difference + small;
        doubled(cells + c * cells_size, rows, columns, change);
        for (long i = 0; i < small; i++) {
            float value = night[i] * (1 / (16 * 255.0f));
            difference[i] = value - known[i];
            other_difference[i] = value - known[i] * change[i];
        }
        smoothed(difference, h / 2, w / 2, box_work, plain);
        smoothed(other_difference, h / 2, w / 2, box_work, other);
        for (long i = 0; i < small; i++) {
            float least_of = plain[i] < other[i] ? plain[i] : other[i];
            quarter[i] = least_of > quarter[i] ? least_of : quarter[i];
            any[i] = plain[i] > any[i] ? plain[i] : any[i];
        }
    }
    float *luma_of = change;
    for (long i = 0; i < small; i++)
        luma_of[i] =
            0.299f * usual_squares[i] + 0.587f * usual_squares[small + i] + 0.114f * usual_squares[2 * small + i];
    Noise of_squares = noise(quarter, luma_of, small, 6, 3);
    for (long i = 0; i < small; i++) {
        float most_of = PLAIN * any[i] > quarter[i] ? PLAIN * any[i] : quarter[i];
        quarter[i] = most_of * of_squares.scale(luma_of[i], LEAST_OF_SQUARES);
    }
    widest(quarter, h / 2, w / 2, any);
    for (long i = 0; i < (long)(h / 2) * (w / 2); i++) {
        float share = (quarter[i] - FAINT) * (1 / (CLEAR - FAINT));
        quarter[i] = share < 0 ? 0 : share > 1 ? 1 : share;
    }
    doubled(quarter, h / 2, w / 2, near);
}
FOR_EACH_PROCESSOR(
    nightday_evidence,
    (const float *four, int h, int w, const float *usual, const float *luma, const float *usual_squares,
     const float *usual_cells, float *strength, float *near, float *quarter, float *work),
    (four, h, w, usual, luma, usual_squares, usual_cells, strength, near, quarter, work))
