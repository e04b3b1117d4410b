// Frames as the light generator sees them: four pixels in each place, (channels, 4, H / 2, W / 2). A picture is padded on the
// right and below by its own edge. Parameters are described in kernels.py.
#include "simd.h"

// uint8 (height, width, 3) → grey levels, float (3, 4, h, w), where h and w are half of the padded size.
template <class F> INLINE void nightday_unpack_of(const uint8_t *frame, int height, int width, int h, int w, float *four) {
    for (int y = 0; y < 2 * h; y++) {
        const uint8_t *row = frame + (long)(y < height ? y : height - 1) * width * 3;
        float *to = four + (long)((y & 1) * 2 * h + (y >> 1)) * w;
        long plane = (long)h * w;
        for (int c = 0; c < 3; c++) {
            float *left = to + c * 4 * plane, *right = left + plane;
            int whole = width / 2;
            for (int x = 0; x < whole; x++) {
                left[x] = row[6 * x + c];
                right[x] = row[6 * x + 3 + c];
            }
            float last = row[3 * (width - 1) + c];
            for (int x = whole; x < w; x++) left[x] = right[x] = last;
        }
    }
}
FOR_EACH_PROCESSOR(
    nightday_unpack, (const uint8_t *frame, int height, int width, int h, int w, float *four),
    (frame, height, width, h, w, four))

// The same of float (3, height, width), times scale.
template <class F> INLINE void nightday_unshuffle_of(
    const float *planes, int height, int width, float scale, int h, int w, float *four) {
    for (int c = 0; c < 3; c++) {
        for (int y = 0; y < 2 * h; y++) {
            const float *row = planes + ((long)c * height + (y < height ? y : height - 1)) * width;
            float *left = four + (long)((c * 4 + (y & 1) * 2) * h + (y >> 1)) * w, *right = left + (long)h * w;
            int whole = width / 2;
            for (int x = 0; x < whole; x++) {
                left[x] = row[2 * x] * scale;
                right[x] = row[2 * x + 1] * scale;
            }
            float last = row[width - 1] * scale;
            for (int x = whole; x < w; x++) left[x] = right[x] = last;
        }
    }
}
FOR_EACH_PROCESSOR(
    nightday_unshuffle, (const float *planes, int height, int width, float scale, int h, int w, float *four),
    (planes, height, width, scale, h, w, four))
