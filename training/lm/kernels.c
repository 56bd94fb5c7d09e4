/* What lies between the matrix products of a model, in one pass over memory each; see kernels.py.

   Arrays are float32, row by row. Work is divided by rows, so results do not depend on how many threads there are.
   Sums may be taken in any order, but what is not a number stays what it is. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
#define BLOCK 128
#define BELOW_ONE (1.0 - 0x1p-40) /* keeps a rounded threshold below the mass that it is a share of */
#define PARALLEL _Pragma("omp parallel for schedule(static)")

/* e^x within 3e-7 of it; 0 below -87, above 88 as at 88. The polynomial is that of Cephes' expf. */
static inline float exponential(float x) {
  const int is_none = x < -87.0f;
  x = is_none ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  const float power = floorf(x * 1.44269504088896341f + 0.5f);
  const float r = x - power * 0.693359375f + power * 2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  const uint32_t bits = (uint32_t)((int32_t)power + 127) << 23;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return is_none ? 0.0f : y * scale;
}

static float largest(const float *x, int64_t n) {
  float lanes[LANES], best = x[0];
  for (int i = 0; i < LANES; i++) lanes[i] = best;
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES)
    for (int i = 0; i < LANES; i++) lanes[i] = x[j + i] > lanes[i] ? x[j + i] : lanes[i];
  for (int i = 0; i < LANES; i++) best = lanes[i] > best ? lanes[i] : best;
  for (; j < n; j++) best = x[j] > best ? x[j] : best;
  return best;
}

/* --- Norm, gate, rotation ---------------------------------------------------------------------- */

/* out = x / r by rows of x (n, width), r the root of the mean square. */
void norm(const float *restrict x, int64_t n, int64_t width, float epsilon, float *restrict out) {
  PARALLEL for (int64_t i = 0; i < n; i++) {
    const float *row = x + i * width;
    float total = 0;
    for (int64_t j = 0; j < width; j++) total += row[j] * row[j];
    const float inverse = 1.0f / sqrtf(total / width + epsilon);
    for (int64_t j = 0; j < width; j++) out[i * width + j] = row[j] * inverse;
  }
}

/* out (n, width) = silu(gate) up; gate and up lie side by side in the rows of both (n, 2 width). */
void gate(const float *restrict both, int64_t n, int64_t width, float *restrict out) {
  PARALLEL for (int64_t i = 0; i < n; i++) {
    const float *gates = both + i * 2 * width, *ups = gates + width;
    for (int64_t j = 0; j < width; j++) out[i * width + j] = gates[j] / (1.0f + exponential(-gates[j])) * ups[j];
  }
}

/* Rotate the pairs (j, j + depth/2) of the first heads of each row of x in place, by the angles (·, depth/2) of the
   row's place. Rows of x are `stride` numbers apart. */
void turn(float *restrict x, int64_t n, int64_t stride, int64_t heads, int64_t depth, const float *restrict cosines,
          const float *restrict sines, const int64_t *restrict places) {
  const int64_t half = depth / 2;
  PARALLEL for (int64_t i = 0; i < n; i++) {
    const float *c = cosines + places[i] * half, *s = sines + places[i] * half;
    for (int64_t h = 0; h < heads; h++) {
      float *one = x + i * stride + h * depth, *other = one + half;
      for (int64_t j = 0; j < half; j++) {
        const float a = one[j], b = other[j];
        one[j] = a * c[j] - b * s[j];
        other[j] = b * c[j] + a * s[j];
      }
    }
  }
}

/* --- One step of sampling ---------------------------------------------------------------------- */

/* out (n,) = query (depth,) times keys (depth, ·) in rows of `stride` numbers. */
static void scores(const float *restrict query, const float *restrict keys, int64_t depth, int64_t stride, int64_t n,
                   float *restrict out) {
  enum { WIDE = 4 * LANES };
  int64_t p = 0;
  for (; p + WIDE <= n; p += WIDE) {
    float sum[WIDE] = {0};
    for (int64_t d = 0; d < depth; d++)
      for (int i = 0; i < WIDE; i++) sum[i] += query[d] * keys[d * stride + p + i];
    memcpy(out + p, sum, sizeof sum);
  }
  for (; p + LANES <= n; p += LANES) {
    float sum[LANES] = {0};
    for (int64_t d = 0; d < depth; d++)
      for (int i = 0; i < LANES; i++) sum[i] += query[d] * keys[d * stride + p + i];
    memcpy(out + p, sum, sizeof sum);
  }
  if (p < n) {
    memset(out + p, 0, (n - p) * sizeof *out);
    for (int64_t d = 0; d < depth; d++)
      for (int64_t i = p; i < n; i++) out[i] += query[d] * keys[d * stride + i];
  }
}

/* out (n,) = query (depth,) times keys (n, depth). */
static void scores_of_rows(const float *restrict query, const float *restrict keys, int64_t depth, int64_t n,
                           float *restrict out) {
  int64_t p = 0;
  for (; p + 4 <= n; p += 4) {
    const float *row = keys + p * depth;
    float one = 0, two = 0, three = 0, four = 0;
    for (int64_t d = 0; d < depth; d++) {
      one += query[d] * row[d];
      two += query[d] * row[depth + d];
      three += query[d] * row[2 * depth + d];
      four += query[d] * row[3 * depth + d];
    }
    out[p] = one, out[p + 1] = two, out[p + 2] = three, out[p + 3] = four;
  }
  for (; p < n; p++) {
    float sum = 0;
    for (int64_t d = 0; d < depth; d++) sum += query[d] * keys[p * depth + d];
    out[p] = sum;
  }
}

/* out (depth,) += weights (n,) times values (n, depth). */
static void add_weighted(const float *restrict weights, const float *restrict values, int64_t depth, int64_t n,
                         float *restrict out) {
  enum { WIDE = 2 * LANES };
  int64_t d = 0;
  for (; d + WIDE <= depth; d += WIDE) {
    float sum[WIDE];
    memcpy(sum, out + d, sizeof sum);
    for (int64_t p = 0; p < n; p++)
      for (int i = 0; i < WIDE; i++) sum[i] += weights[p] * values[p * depth + d + i];
    memcpy(out + d, sum, sizeof sum);
  }
  if (d < depth)
    for (int64_t p = 0; p < n; p++)
      for (int64_t i = d; i < depth; i++) out[i] += weights[p] * values[p * depth + i];
}

/* One new token a row: query (n, heads, depth), key and value (n, key_heads, depth), whose rows are so many numbers
   apart. They lie in the order of their cells; `first` says, for each slot and the end, its first row. */
void attend_step(const float *restrict query, int64_t query_stride, const float *restrict key, int64_t key_stride,
                 const float *restrict value, int64_t value_stride, int64_t heads, int64_t key_heads, int64_t depth,
                 const int64_t *restrict cells, const int64_t *restrict first, int64_t slots, int64_t responses,
                 const int64_t *restrict lengths, const int64_t *restrict columns, const float *restrict prompt_keys,
                 const float *restrict prompt_values, int64_t prompt_tokens, float *restrict own_keys,
                 float *restrict own_values, int64_t new_tokens, float scaling, float *restrict out) {
  const int64_t groups = heads / key_heads;
  PARALLEL for (int64_t unit = 0; unit < slots * key_heads; unit++) {
    const int64_t slot = unit / key_heads, head = unit % key_heads, before = lengths[slot], at = columns[slot];
    const int64_t count = before + at + 1;
    if (first[slot] == first[slot + 1]) continue;
    float *weights = malloc((count + depth) * sizeof *weights), *asked = weights + count;
    for (int64_t row = first[slot]; row < first[slot + 1]; row++) {
      const int64_t cell = unit * responses + cells[row] - slot * responses;
      float *keys = own_keys + cell * depth * new_tokens, *values = own_values + cell * depth * new_tokens;
      memcpy(keys + at * depth, key + row * key_stride + head * depth, depth * sizeof *keys);
      memcpy(values + at * depth, value + row * value_stride + head * depth, depth * sizeof *values);
      for (int64_t h = head * groups; h < (head + 1) * groups; h++) {
        float *seen = out + (row * heads + h) * depth;
        for (int64_t d = 0; d < depth; d++) asked[d] = query[row * query_stride + h * depth + d] * scaling;
        scores(asked, prompt_keys + unit * depth * prompt_tokens, depth, prompt_tokens, before, weights);
        scores_of_rows(asked, keys, depth, at + 1, weights + before);
        const float most = largest(weights, count);
        float total = 0;
        for (int64_t p = 0; p < count; p++) {
          weights[p] = exponential(weights[p] - most);
          total += weights[p];
        }
        memset(seen, 0, depth * sizeof *seen);
        add_weighted(weights, prompt_values + unit * depth * prompt_tokens, depth, before, seen);
        add_weighted(weights + before, values, depth, at + 1, seen);
        for (int64_t d = 0; d < depth; d++) seen[d] /= total;
      }
    }
    free(weights);
  }
}

/* --- Drawing ------------------------------------------------------------------------------------ */

/* The count-th largest of n numbers from 0 to 1: found by halving, as their bits are in their order. */
static float least_of_largest(const float *x, int64_t n, int64_t count) {
  int32_t low = 0, high = 0x3F800001;
  while (high - low > 1) {
    const int32_t middle = low + (high - low) / 2;
    int32_t as_large = 0;
    for (int64_t i = 0; i < n; i++) {
      int32_t bits;
      memcpy(&bits, x + i, sizeof bits);
      as_large += bits >= middle;
    }
    if (as_large >= count) low = middle;
    else high = middle;
  }
  float found;
  memcpy(&found, &low, sizeof found);
  return found;
}

static float sum_of_least(const float *x, int64_t n, float least) {
  float total = 0;
  for (int64_t i = 0; i < n; i++) total += x[i] >= least ? x[i] : 0.0f;
  return total;
}

/* Where the running sum of those x that are at least `least` passes this share of the whole. Blocks are summed first
   and only one of them is searched. */
static int64_t where_passed(const float *x, int64_t n, float least, double share, float *mass) {
  const int64_t blocks = (n + BLOCK - 1) / BLOCK;
  double whole = 0, before = 0;
  for (int64_t b = 0; b < blocks; b++) {
    mass[b] = sum_of_least(x + b * BLOCK, b + 1 < blocks ? BLOCK : n - b * BLOCK, least);
    whole += mass[b];
  }
  const double wanted = share * whole * BELOW_ONE;
  int64_t block = 0;
  while (block + 1 < blocks && before + mass[block] <= wanted) before += mass[block++];
  const float *part = x + block * BLOCK;
  const int64_t size = block + 1 < blocks ? BLOCK : n - block * BLOCK;
  double inside = (wanted - before) / mass[block], exact = 0, running = 0;
  inside = inside < 0 ? 0 : inside > BELOW_ONE ? BELOW_ONE : inside;
  for (int64_t i = 0; i < size; i++) exact += part[i] >= least ? part[i] : 0.0f;
  int64_t last = 0;
  for (int64_t i = 0; i < size; i++)
    if (part[i] >= least && part[i] > 0) {
      last = i;
      running += part[i];
      if (running > inside * exact) break;
    }
  return block * BLOCK + last;
}

/* Draw a token a row: logits (n, size) become weights, 1 for the likeliest; tokens (n,), totals (n,) sums of weights. */
void draw(float *restrict logits, int64_t n, int64_t size, const double *restrict uniform,
          const uint8_t *restrict early, int64_t end_id, float sharpness, int64_t top_k, int64_t *restrict tokens,
          float *restrict totals) {
  PARALLEL for (int64_t i = 0; i < n; i++) {
    float *row = logits + i * size, *mass = malloc((size / BLOCK + 1) * sizeof *mass);
    if (early[i]) row[end_id] = -INFINITY;
    const float most = largest(row, size);
    float total = 0;
    for (int64_t j = 0; j < size; j++) {
      row[j] = exponential((row[j] - most) * sharpness);
      total += row[j];
    }
    totals[i] = total;
    tokens[i] = where_passed(row, size, 0 < top_k && top_k < size ? least_of_largest(row, size, top_k) : 0.0f,
                             uniform[i], mass);
    free(mass);
  }
}
