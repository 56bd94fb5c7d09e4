/* What lies between the matrix products of a model, in one pass over memory each; see kernels.py.

   Arrays are float32, row by row. Work is divided by rows, so results do not depend on how many threads there are.
   Sums may be taken in any order, but what is not a number stays what it is. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __AVX512F__
enum { LANES = 16 };
#else
enum { LANES = 8 };
#endif
#define BLOCK 128
#define BELOW_ONE (1.0 - 0x1p-40) /* keeps a rounded threshold below the mass that it is a share of */
#define PARALLEL _Pragma("omp parallel for schedule(static)")
#define TOGETHER _Pragma("omp parallel") /* all threads run what follows, and share the loops that are */
#define SHARED _Pragma("omp for schedule(static)")
#define INLINE inline __attribute__((always_inline)) /* so that constants that it is called with stay such */

/* e^x within 3e-7 of it, for x of at most 88; 0 below -87.7, where so little is no normal number. The polynomial is that
   of Cephes' expf. */
static inline float exponential(float x) {
  x = x < -88.0f ? -88.0f : x; /* whose power of two is written as 0 */
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
  return y * scale;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(x < -88.0f ? 88.0f : -x)); }

typedef float vector __attribute__((vector_size(4 * LANES)));
typedef int32_t mask __attribute__((vector_size(4 * LANES)));

static inline vector load(const float *x) {
  vector found;
  memcpy(&found, x, sizeof found);
  return found;
}

static inline void store(float *x, vector numbers) { memcpy(x, &numbers, sizeof numbers); }

static float largest(const float *x, int64_t n) {
  float best = x[0];
  int64_t j = 0;
  if (n >= LANES) {
    vector most = load(x);
    for (j = LANES; j + LANES <= n; j += LANES) {
      const vector other = load(x + j);
      const mask is_more = other > most;
      most = (vector)(((mask)other & is_more) | ((mask)most & ~is_more));
    }
    float left[LANES];
    memcpy(left, &most, sizeof left);
    for (int half = LANES / 2; half; half /= 2)
      for (int i = 0; i < half; i++) left[i] = left[i + half] > left[i] ? left[i + half] : left[i];
    best = left[0];
  }
  for (; j < n; j++) best = x[j] > best ? x[j] : best;
  return best;
}

/* --- Norm, gate, rotation ---------------------------------------------------------------------- */

enum { PARTS = 16 }; /* rows that are summed apart, so that sums do not depend on how many threads there are */

/* total = x + added, unless there is nothing to add (null); out = weight total / r, r the root of the mean square by
   rows; inverse (n,) = 1 / r. weight and inverse may be null. */
static void shared_norm_forward(const float *restrict x, const float *restrict added, const float *restrict weight,
                                int64_t n, int64_t width, float epsilon, float *restrict total, float *restrict out,
                                float *restrict inverse) {
  SHARED for (int64_t i = 0; i < n; i++) {
    const float *row = x + i * width;
    if (added) {
      float *sums = total + i * width;
      for (int64_t j = 0; j < width; j++) sums[j] = row[j] + added[i * width + j];
      row = sums;
    }
    float square = 0;
    for (int64_t j = 0; j < width; j++) square += row[j] * row[j];
    const float share = 1.0f / sqrtf(square / width + epsilon);
    if (inverse) inverse[i] = share;
    if (weight)
      for (int64_t j = 0; j < width; j++) out[i * width + j] = row[j] * share * weight[j];
    else
      for (int64_t j = 0; j < width; j++) out[i * width + j] = row[j] * share;
  }
}

void norm_forward(const float *restrict x, const float *restrict added, const float *restrict weight, int64_t n,
                  int64_t width, float epsilon, float *restrict total, float *restrict out, float *restrict inverse) {
  TOGETHER shared_norm_forward(x, added, weight, n, width, epsilon, total, out, inverse);
}

/* of_x = (weight slope - x mean(weight slope x) inverse²) inverse, plus the slope of the sum itself unless that is
   null; parts (PARTS, width) sum to the gradient of weight, unless null. */
void norm_backward(const float *restrict x, const float *restrict weight, const float *restrict inverse,
                   const float *restrict slope, const float *restrict of_total, int64_t n, int64_t width,
                   float *restrict of_x, float *restrict parts) {
  PARALLEL for (int64_t part = 0; part < PARTS; part++) {
    float *sums = parts ? parts + part * width : 0;
    if (sums) memset(sums, 0, width * sizeof *sums);
    for (int64_t i = part * n / PARTS; i < (part + 1) * n / PARTS; i++) {
      const float *row = x + i * width, *down = slope + i * width;
      float *out = of_x + i * width, along = 0;
      for (int64_t j = 0; j < width; j++) along += down[j] * weight[j] * row[j];
      const float shift = along * inverse[i] * inverse[i] * inverse[i] / width;
      for (int64_t j = 0; j < width; j++) out[j] = down[j] * weight[j] * inverse[i] - row[j] * shift;
      if (of_total)
        for (int64_t j = 0; j < width; j++) out[j] += of_total[i * width + j];
      if (sums)
        for (int64_t j = 0; j < width; j++) sums[j] += down[j] * row[j] * inverse[i];
    }
  }
}

/* Rotate the pairs (j, j + depth/2) of the first heads of each row of x into out, which may be x; way 1 turns, -1 turns
   back. Rows of x and out are so many numbers apart. Angles (·, depth/2) are those of the row's place, or of the row
   itself where there are no places (null). */
static void shared_turn(const float *x, int64_t x_row, int64_t n, int64_t heads, int64_t depth,
                        const float *restrict cosines, const float *restrict sines, const int64_t *restrict places,
                        float way, float *out, int64_t out_row) {
  const int64_t half = depth / 2;
  SHARED for (int64_t i = 0; i < n; i++) {
    const int64_t place = places ? places[i] : i;
    const float *c = cosines + place * half, *s = sines + place * half;
    for (int64_t h = 0; h < heads; h++) {
      const float *one = x + i * x_row + h * depth, *other = one + half;
      float *to = out + i * out_row + h * depth;
      int64_t j = 0;
      for (; j + LANES <= half; j += LANES) {
        const vector a = load(one + j), b = load(other + j), cosine = load(c + j), sine = load(s + j) * way;
        store(to + j, a * cosine - b * sine);
        store(to + half + j, b * cosine + a * sine);
      }
      for (; j < half; j++) {
        const float a = one[j], b = other[j];
        to[j] = a * c[j] - way * s[j] * b;
        to[half + j] = b * c[j] + way * s[j] * a;
      }
    }
  }
}

void turn(const float *x, int64_t x_row, int64_t n, int64_t heads, int64_t depth, const float *restrict cosines,
          const float *restrict sines, const int64_t *restrict places, float way, float *out, int64_t out_row) {
  TOGETHER shared_turn(x, x_row, n, heads, depth, cosines, sines, places, way, out, out_row);
}

/* out (n, width) = silu(gates) ups; their rows are so many numbers apart. */
static void shared_gate_forward(const float *restrict gates, int64_t gates_row, const float *restrict ups,
                                int64_t ups_row, int64_t n, int64_t width, float *restrict out) {
  SHARED for (int64_t i = 0; i < n; i++) {
    const float *one = gates + i * gates_row, *other = ups + i * ups_row;
    for (int64_t j = 0; j < width; j++) out[i * width + j] = one[j] * sigmoid(one[j]) * other[j];
  }
}

void gate_forward(const float *restrict gates, int64_t gates_row, const float *restrict ups, int64_t ups_row, int64_t n,
                  int64_t width, float *restrict out) {
  TOGETHER shared_gate_forward(gates, gates_row, ups, ups_row, n, width, out);
}

void gate_backward(const float *restrict gates, const float *restrict ups, const float *restrict slope, int64_t n,
                   float *restrict of_gates, float *restrict of_ups) {
  PARALLEL for (int64_t i = 0; i < n; i++) {
    const float share = sigmoid(gates[i]), silu = gates[i] * share;
    of_ups[i] = slope[i] * silu;
    of_gates[i] = slope[i] * ups[i] * (share + silu * (1.0f - share));
  }
}

/* --- Products ----------------------------------------------------------------------------------- */

/* So many numbers side by side stay in registers, in rows of a product: */
enum { HIGH = 6, WIDE = 2 * LANES };

/* c (rows, WIDE) (+)= a (rows, k) b (k, WIDE), rows of which are so many numbers apart; a also by columns, and b where
   one vector ends and the next begins. */
static INLINE void tile(const int rows, const float *a, int64_t a_row, int64_t a_column, const float *b, int64_t b_row,
                        int64_t b_vector, int64_t k, float *c, int64_t c_row, int is_more) {
  vector sums[HIGH][WIDE / LANES];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < WIDE / LANES; j++) sums[i][j] = is_more ? load(c + i * c_row + j * LANES) : (vector){0};
  for (int64_t t = 0; t < k; t++) {
    vector side[WIDE / LANES];
    for (int j = 0; j < WIDE / LANES; j++) side[j] = load(b + t * b_row + j * b_vector);
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < WIDE / LANES; j++) sums[i][j] += a[i * a_row + t * a_column] * side[j];
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < WIDE / LANES; j++) store(c + i * c_row + j * LANES, sums[i][j]);
}

/* c (m, WIDE) (+)= a (m, k) b (k, WIDE). */
static void column(int64_t m, int64_t k, const float *a, int64_t a_row, int64_t a_column, const float *b, int64_t b_row,
                   int64_t b_vector, float *c, int64_t c_row, int is_more) {
  for (int64_t i = 0; i < m; i += HIGH, a += HIGH * a_row, c += HIGH * c_row) {
    switch (m - i) { /* so that the compiler knows how many rows stay in registers */
      case 1: tile(1, a, a_row, a_column, b, b_row, b_vector, k, c, c_row, is_more); break;
      case 2: tile(2, a, a_row, a_column, b, b_row, b_vector, k, c, c_row, is_more); break;
      case 3: tile(3, a, a_row, a_column, b, b_row, b_vector, k, c, c_row, is_more); break;
      case 4: tile(4, a, a_row, a_column, b, b_row, b_vector, k, c, c_row, is_more); break;
      case 5: tile(5, a, a_row, a_column, b, b_row, b_vector, k, c, c_row, is_more); break;
      default: tile(HIGH, a, a_row, a_column, b, b_row, b_vector, k, c, c_row, is_more);
    }
  }
}

/* c (m, n) (+)= a (m, k) b (k, n). */
static void product(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_column, const float *b,
                    int64_t b_row, float *c, int64_t c_row, int is_more) {
  int64_t j = 0;
  for (; j + WIDE <= n; j += WIDE) column(m, k, a, a_row, a_column, b + j, b_row, LANES, c + j, c_row, is_more);
  if (j < n && n > WIDE && !is_more) column(m, k, a, a_row, a_column, b + n - WIDE, b_row, LANES, c + n - WIDE, c_row, 0);
  else if (j < n)
    for (int64_t i = 0; i < m; i++) {
      float *row = c + i * c_row;
      if (!is_more) memset(row + j, 0, (n - j) * sizeof *row);
      for (int64_t t = 0; t < k; t++)
        for (int64_t l = j; l < n; l++) row[l] += a[i * a_row + t * a_column] * b[t * b_row + l];
    }
}

enum { PANEL = 16, TALL = 96 }; /* columns of a matrix that lie together, and rows that meet them while in the cache */

/* out (m, n) (+)= x (m, k) times a matrix (k, n), plus bias (n,) unless that is null. The matrix is given as panels
   (·, k, PANEL) of its columns, an even number of them. */
static void shared_multiply(const float *restrict x, const float *restrict panels, const float *restrict bias,
                            int64_t m, int64_t k, int64_t n, int64_t is_more, float *restrict out) {
  const int64_t wide = (n + WIDE - 1) / WIDE, tall = (m + TALL - 1) / TALL;
  SHARED for (int64_t unit = 0; unit < tall * wide; unit++) {
    const int64_t top = unit / wide * TALL, rows = m - top < TALL ? m - top : TALL;
    const int64_t left = unit % wide * WIDE, columns = n - left < WIDE ? n - left : WIDE;
    float beside[TALL * WIDE], *to = out + top * n + left, *c = columns < WIDE ? beside : to;
    const int64_t c_row = columns < WIDE ? WIDE : n;
    if (bias)
      for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) c[i * c_row + j] = bias[left + j] + (is_more ? to[i * n + j] : 0.0f);
    else if (c != to && is_more)
      for (int64_t i = 0; i < rows; i++) memcpy(c + i * c_row, to + i * n, columns * sizeof *c);
    column(rows, k, x + top * k, k, 1, panels + left * k, PANEL, (int)WIDE > PANEL ? PANEL * k : LANES, c, c_row,
           is_more || bias);
    if (c != to)
      for (int64_t i = 0; i < rows; i++) memcpy(to + i * n, c + i * c_row, columns * sizeof *c);
  }
}

void multiply(const float *restrict x, const float *restrict panels, const float *restrict bias, int64_t m, int64_t k,
              int64_t n, int64_t is_more, float *restrict out) {
  TOGETHER shared_multiply(x, panels, bias, m, k, n, is_more, out);
}

/* --- Attention over segments -------------------------------------------------------------------- */

/* A segment of queries sees all of one segment of keys (of none, if it has no length) and, up to itself, another. */
typedef struct {
  int64_t queries, query_count, whole, whole_count, own, own_count;
} look;

static inline int64_t padded(int64_t n) { return (n + WIDE - 1) / WIDE * WIDE; }

/* out (depth, padded count) = the transpose of x (count, ·), rows of which are `row` numbers apart; few rows at a time,
   so that they stay in the cache. */
static void transpose(const float *x, int64_t row, int64_t count, int64_t depth, float *out) {
  const int64_t wide = padded(count), whole = count / LANES * LANES;
  for (int64_t top = 0; top < whole; top += LANES)
    for (int64_t d = 0; d < depth; d++)
      for (int64_t i = 0; i < LANES; i++) out[d * wide + top + i] = x[(top + i) * row + d];
  for (int64_t d = 0; d < depth; d++) {
    for (int64_t i = whole; i < count; i++) out[d * wide + i] = x[i * row + d];
    for (int64_t i = count; i < wide; i++) out[d * wide + i] = 0;
  }
}

/* Products of rows of queries and the keys that they see, (query_count, padded whole + padded own): zeros between and
   beyond. whole and own: transposed keys. Rows see ever more of their own, so the rest is not computed. */
static void against(const look *at, const float *rows, int64_t row, int64_t depth, const float *whole, const float *own,
                    float *out) {
  const int64_t first = padded(at->whole_count), wide = first + padded(at->own_count);
  if (first) product(at->query_count, first, depth, rows, row, 1, whole, first, out, wide, 0);
  for (int64_t i = 0; i < at->query_count; i += HIGH) {
    const int64_t high = at->query_count - i < HIGH ? at->query_count - i : HIGH;
    const int64_t seen = padded(at->own_count - at->query_count + i + high);
    product(high, seen, depth, rows + i * row, row, 1, own, wide - first, out + i * wide + first, wide, 0);
  }
}

/* Turn such products into weights of what each row sees, 1 for the largest; zeros where it sees nothing. What is left
   over of a row's last lanes is computed with it, as nothing. inverse (query_count,): one over each row's sum. */
static void softmax(const look *at, float *shares, float *inverse) {
  const int64_t first = padded(at->whole_count), wide = first + padded(at->own_count);
  for (int64_t i = 0; i < at->query_count; i++) {
    float *row = shares + i * wide, total = 0;
    const int64_t seen = first + at->own_count - at->query_count + i + 1, end = padded(seen);
    for (int64_t j = at->whole_count; j < first; j++) row[j] = -INFINITY;
    for (int64_t j = seen; j < end; j++) row[j] = -INFINITY;
    const float most = largest(row, end);
    for (int64_t j = 0; j < end; j++) {
      row[j] = exponential(row[j] - most);
      total += row[j];
    }
    inverse[i] = 1.0f / total;
    memset(row + end, 0, (wide - end) * sizeof *row);
  }
}

/* out (query_count, depth) = such weights times the rows of whole and own that they are of. */
static void mixed(const look *at, const float *shares, const float *whole, const float *own, int64_t row, int64_t depth,
                  float *out, int64_t out_row) {
  const int64_t first = padded(at->whole_count), wide = first + padded(at->own_count);
  product(at->query_count, depth, at->whole_count, shares, wide, 1, whole, row, out, out_row, 0);
  for (int64_t i = 0; i < at->query_count; i += HIGH) {
    const int64_t high = at->query_count - i < HIGH ? at->query_count - i : HIGH;
    const int64_t seen = at->own_count - at->query_count + i + high;
    product(high, depth, seen, shares + i * wide + first, wide, 1, own, row, out + i * out_row, out_row, 1);
  }
}

/* to_whole, to_own += the transpose of such weights times rows (query_count, depth). */
static void given_back(const look *at, const float *shares, const float *rows, int64_t row, int64_t depth,
                       float *to_whole, float *to_own, int64_t to_row) {
  const int64_t first = padded(at->whole_count), wide = first + padded(at->own_count);
  product(at->whole_count, depth, at->query_count, shares, 1, wide, rows, row, to_whole, to_row, 1);
  for (int64_t j = 0; j < at->own_count; j += HIGH) {
    const int64_t high = at->own_count - j < HIGH ? at->own_count - j : HIGH;
    const int64_t before = j - (at->own_count - at->query_count), from = before > 0 ? before : 0;
    product(high, depth, at->query_count - from, shares + from * wide + first + j, 1, wide, rows + from * row, row,
            to_own + j * to_row, to_row, 1);
  }
}

/* out = x (count, depth) times a factor, and times that of each row where there are such; out may be x. */
static void scaled(const float *x, int64_t row, int64_t count, int64_t depth, float factor, const float *of_rows,
                   float *out, int64_t out_row) {
  for (int64_t i = 0; i < count; i++) {
    const float by = of_rows ? factor * of_rows[i] : factor;
    for (int64_t d = 0; d < depth; d++) out[i * out_row + d] = x[i * row + d] * by;
  }
}

/* The most queries of the looks, and the most numbers that a row of shares has. */
static void extent(const look *looks, int64_t count, int64_t *rows, int64_t *wide) {
  *rows = *wide = 0;
  for (int64_t i = 0; i < count; i++) {
    const int64_t own = padded(looks[i].whole_count) + padded(looks[i].own_count);
    if (looks[i].query_count > *rows) *rows = looks[i].query_count;
    if (own > *wide) *wide = own;
  }
}

/* Softmax attention: query and out (·, heads, depth), key and value (·, key_heads, depth). Looks from first[g] to
   first[g + 1] (of groups + 1) see the same whole segment, if they see one. */
void attend(const float *restrict query, const float *restrict key, const float *restrict value, int64_t heads,
            int64_t key_heads, int64_t depth, const look *restrict looks, const int64_t *restrict first, int64_t groups,
            float scaling, float *restrict out) {
  const int64_t sharing = heads / key_heads, row = heads * depth, key_row = key_heads * depth;
  int64_t rows, wide;
  extent(looks, first[groups], &rows, &wide);
  _Pragma("omp parallel for schedule(dynamic)") for (int64_t unit = 0; unit < groups * key_heads; unit++) {
    const int64_t group = unit / key_heads, head = unit % key_heads;
    const float *keys = key + head * depth, *values = value + head * depth;
    float *whole = malloc((wide * depth * 2 + rows * (wide + depth + 1)) * sizeof *whole);
    float *own = whole + wide * depth, *shares = own + wide * depth, *asked = shares + rows * wide;
    float *inverse = asked + rows * depth;
    int64_t transposed = -1;
    for (const look *at = looks + first[group]; at < looks + first[group + 1]; at++) {
      if (at->whole_count && at->whole != transposed) {
        transpose(keys + at->whole * key_row, key_row, at->whole_count, depth, whole);
        transposed = at->whole;
      }
      transpose(keys + at->own * key_row, key_row, at->own_count, depth, own);
      for (int64_t h = head * sharing; h < (head + 1) * sharing; h++) {
        const int64_t where = at->queries * row + h * depth;
        scaled(query + where, row, at->query_count, depth, scaling, 0, asked, depth);
        against(at, asked, depth, depth, whole, own, shares);
        softmax(at, shares, inverse);
        mixed(at, shares, values + at->whole * key_row, values + at->own * key_row, key_row, depth, out + where, row);
        scaled(out + where, row, at->query_count, depth, 1.0f, inverse, out + where, row);
      }
    }
    free(whole);
  }
}

static void clear(float *x, int64_t row, int64_t count, int64_t depth) {
  for (int64_t i = 0; i < count; i++) memset(x + i * row, 0, depth * sizeof *x);
}

/* The gradients of query, key and value from that of out; the shares are computed anew. */
void attend_backward(const float *restrict query, const float *restrict key, const float *restrict value,
                     const float *restrict slope, int64_t heads, int64_t key_heads, int64_t depth,
                     const look *restrict looks, const int64_t *restrict first, int64_t groups, float scaling,
                     float *restrict of_query, float *restrict of_key, float *restrict of_value) {
  const int64_t sharing = heads / key_heads, row = heads * depth, key_row = key_heads * depth;
  int64_t rows, wide;
  extent(looks, first[groups], &rows, &wide);
  _Pragma("omp parallel for schedule(dynamic)") for (int64_t unit = 0; unit < groups * key_heads; unit++) {
    const int64_t group = unit / key_heads, head = unit % key_heads;
    const float *keys = key + head * depth, *values = value + head * depth;
    float *of_keys = of_key + head * depth, *of_values = of_value + head * depth;
    float *whole[2], *own[2], *shares = malloc((wide * depth * 4 + rows * (wide * 2 + depth * 2 + 1)) * sizeof *shares);
    float *slopes = shares + rows * wide, *asked = slopes + rows * wide, *down = asked + rows * depth;
    float *inverse = down + rows * depth;
    whole[0] = inverse + rows, whole[1] = whole[0] + wide * depth;
    own[0] = whole[1] + wide * depth, own[1] = own[0] + wide * depth;
    for (const look *at = looks + first[group]; at < looks + first[group + 1]; at++)
      for (int i = 0; i < 2; i++) {
        clear((i ? of_values : of_keys) + at->whole * key_row, key_row, at->whole_count, depth);
        clear((i ? of_values : of_keys) + at->own * key_row, key_row, at->own_count, depth);
      }
    int64_t transposed = -1;
    for (const look *at = looks + first[group]; at < looks + first[group + 1]; at++) {
      if (at->whole_count && at->whole != transposed) {
        transpose(keys + at->whole * key_row, key_row, at->whole_count, depth, whole[0]);
        transpose(values + at->whole * key_row, key_row, at->whole_count, depth, whole[1]);
        transposed = at->whole;
      }
      transpose(keys + at->own * key_row, key_row, at->own_count, depth, own[0]);
      transpose(values + at->own * key_row, key_row, at->own_count, depth, own[1]);
      for (int64_t h = head * sharing; h < (head + 1) * sharing; h++) {
        const int64_t where = at->queries * row + h * depth, width = padded(at->whole_count) + padded(at->own_count);
        const int64_t to_whole = at->whole * key_row, to_own = at->own * key_row;
        scaled(query + where, row, at->query_count, depth, scaling, 0, asked, depth);
        against(at, asked, depth, depth, whole[0], own[0], shares);
        softmax(at, shares, inverse);
        scaled(slope + where, row, at->query_count, depth, 1.0f, inverse, down, depth);
        against(at, down, depth, depth, whole[1], own[1], slopes);
        given_back(at, shares, down, depth, depth, of_values + to_whole, of_values + to_own, key_row);
        for (int64_t i = 0; i < at->query_count; i++) {
          float *weight = shares + i * width, *of_weight = slopes + i * width, along = 0;
          const int64_t seen = padded(at->whole_count) + at->own_count - at->query_count + i + 1;
          for (int64_t j = 0; j < seen; j++) along += weight[j] * of_weight[j];
          along *= inverse[i];
          for (int64_t j = 0; j < seen; j++) weight[j] *= of_weight[j] - along;
        }
        mixed(at, shares, keys + to_whole, keys + to_own, key_row, depth, of_query + where, row);
        scaled(of_query + where, row, at->query_count, depth, scaling, 0, of_query + where, row);
        given_back(at, shares, asked, depth, depth, of_keys + to_whole, of_keys + to_own, key_row);
      }
    }
    free(shares);
  }
}

/* --- One step of sampling ---------------------------------------------------------------------- */

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

/* out (many LANES,) += weights (n,) times the first columns of values (n, depth). */
static INLINE void add_some(const int many, const float *weights, const float *values, int64_t depth, int64_t n,
                            float *out) {
  vector sums[8];
  for (int i = 0; i < many; i++) sums[i] = load(out + i * LANES);
  for (int64_t p = 0; p < n; p++)
    for (int i = 0; i < many; i++) sums[i] += weights[p] * load(values + p * depth + i * LANES);
  for (int i = 0; i < many; i++) store(out + i * LANES, sums[i]);
}

/* out (depth,) += weights (n,) times values (n, depth). */
static void add_weighted(const float *weights, const float *values, int64_t depth, int64_t n, float *out) {
  int64_t d = 0;
  for (; d + 8 * LANES <= depth; d += 8 * LANES) add_some(8, weights, values + d, depth, n, out + d);
  for (; d + 4 * LANES <= depth; d += 4 * LANES) add_some(4, weights, values + d, depth, n, out + d);
  for (; d + LANES <= depth; d += LANES) add_some(1, weights, values + d, depth, n, out + d);
  if (d < depth)
    for (int64_t p = 0; p < n; p++)
      for (int64_t i = d; i < depth; i++) out[i] += weights[p] * values[p * depth + i];
}

/* One new token a row: query (n, heads, depth), key and value (n, key_heads, depth), whose rows are so many numbers
   apart. They lie in the order of their cells; `first` says, for each slot and the end, its first row. The queries of a
   slot's rows meet the keys and values of its prompt together. */
static void shared_attend_step(const float *restrict query, int64_t query_stride, const float *restrict key,
                               int64_t key_stride, const float *restrict value, int64_t value_stride, int64_t heads,
                               int64_t key_heads, int64_t depth, const int64_t *restrict cells,
                               const int64_t *restrict first, int64_t slots, int64_t responses,
                               const int64_t *restrict lengths, const int64_t *restrict columns,
                               const float *restrict prompt_keys, const float *restrict prompt_values,
                               int64_t prompt_tokens, float *restrict own_keys, float *restrict own_values,
                               int64_t new_tokens, float scaling, float *restrict out) {
  const int64_t sharing = heads / key_heads;
  SHARED for (int64_t unit = 0; unit < slots * key_heads; unit++) {
    const int64_t slot = unit / key_heads, head = unit % key_heads, before = lengths[slot], at = columns[slot];
    const int64_t many = (first[slot + 1] - first[slot]) * sharing, count = before + at + 1;
    if (!many) continue;
    float *asked = malloc(many * (count + 2 * depth) * sizeof *asked);
    float *seen = asked + many * depth, *shares = seen + many * depth;
    for (int64_t i = 0; i < many; i++) {
      const float *from = query + (first[slot] + i / sharing) * query_stride + (head * sharing + i % sharing) * depth;
      for (int64_t d = 0; d < depth; d++) asked[i * depth + d] = from[d] * scaling;
    }
    product(many, before, depth, asked, depth, 1, prompt_keys + unit * depth * prompt_tokens, prompt_tokens, shares,
            count, 0);
    for (int64_t i = 0; i < many; i++) {
      const int64_t row = first[slot] + i / sharing, cell = unit * responses + cells[row] - slot * responses;
      float *keys = own_keys + cell * depth * new_tokens, *values = own_values + cell * depth * new_tokens;
      memcpy(keys + at * depth, key + row * key_stride + head * depth, depth * sizeof *keys);
      memcpy(values + at * depth, value + row * value_stride + head * depth, depth * sizeof *values);
      float *share = shares + i * count, total = 0;
      scores_of_rows(asked + i * depth, keys, depth, at + 1, share + before);
      const float most = largest(share, count);
      for (int64_t p = 0; p < count; p++) {
        share[p] = exponential(share[p] - most);
        total += share[p];
      }
      for (int64_t p = 0; p < count; p++) share[p] /= total;
    }
    product(many, depth, before, shares, count, 1, prompt_values + unit * depth * prompt_tokens, depth, seen, depth, 0);
    for (int64_t i = 0; i < many; i++) {
      const int64_t row = first[slot] + i / sharing, cell = unit * responses + cells[row] - slot * responses;
      float *sums = seen + i * depth;
      add_weighted(shares + i * count + before, own_values + cell * depth * new_tokens, depth, at + 1, sums);
      memcpy(out + (row * heads + head * sharing + i % sharing) * depth, sums, depth * sizeof *sums);
    }
    free(asked);
  }
}

void attend_step(const float *restrict query, int64_t query_stride, const float *restrict key, int64_t key_stride,
                 const float *restrict value, int64_t value_stride, int64_t heads, int64_t key_heads, int64_t depth,
                 const int64_t *restrict cells, const int64_t *restrict first, int64_t slots, int64_t responses,
                 const int64_t *restrict lengths, const int64_t *restrict columns, const float *restrict prompt_keys,
                 const float *restrict prompt_values, int64_t prompt_tokens, float *restrict own_keys,
                 float *restrict own_values, int64_t new_tokens, float scaling, float *restrict out) {
  TOGETHER shared_attend_step(query, query_stride, key, key_stride, value, value_stride, heads, key_heads, depth, cells,
                              first, slots, responses, lengths, columns, prompt_keys, prompt_values, prompt_tokens,
                              own_keys, own_values, new_tokens, scaling, out);
}

/* Divide the first heads of each row of x, which are so many numbers apart, by the roots of their mean squares, and
   weigh them (heads, depth). */
static void shared_norm_of_heads(float *restrict x, int64_t x_row, int64_t n, int64_t heads, int64_t depth,
                                 const float *restrict weight, float epsilon) {
  SHARED for (int64_t i = 0; i < n; i++)
    for (int64_t h = 0; h < heads; h++) {
      float *head = x + i * x_row + h * depth, square = 0;
      for (int64_t d = 0; d < depth; d++) square += head[d] * head[d];
      const float share = 1.0f / sqrtf(square / depth + epsilon);
      for (int64_t d = 0; d < depth; d++) head[d] *= share * weight[h * depth + d];
    }
}

/* A layer of Llama or its kin, for one new token a row: x (n, width) becomes what the layer hands on. Its matrices are
   panels of query, key and value, of the product after attention, of gate and up, and of the product after these, each
   with a bias or null; what weighs its norms is in them. head_norm may be null. The rest is as for attend_step, and
   for turn. room: (n, width + 2 (heads + key_heads) depth + 3 inner). */
void layer_step(float *restrict x, int64_t n, int64_t width, int64_t inner, float epsilon, const float *restrict qkv,
                const float *restrict qkv_bias, const float *restrict head_norm, const float *restrict after,
                const float *restrict after_bias, const float *restrict gate_up, const float *restrict gate_up_bias,
                const float *restrict down, const float *restrict down_bias, const float *restrict cosines,
                const float *restrict sines, const int64_t *restrict places, int64_t heads, int64_t key_heads,
                int64_t depth, const int64_t *restrict cells, const int64_t *restrict first, int64_t slots,
                int64_t responses, const int64_t *restrict lengths, const int64_t *restrict columns,
                const float *restrict prompt_keys, const float *restrict prompt_values, int64_t prompt_tokens,
                float *restrict own_keys, float *restrict own_values, int64_t new_tokens, float scaling,
                float *restrict room) {
  const int64_t turning = heads + key_heads, row = (turning + key_heads) * depth;
  float *normed = room, *query = normed + n * width, *seen = query + n * row, *gates = seen + n * heads * depth;
  float *gated = gates + n * 2 * inner, *key = query + heads * depth, *value = key + key_heads * depth;
  TOGETHER {
    shared_norm_forward(x, 0, 0, n, width, epsilon, 0, normed, 0);
    shared_multiply(normed, qkv, qkv_bias, n, width, row, 0, query);
    if (head_norm) shared_norm_of_heads(query, row, n, turning, depth, head_norm, epsilon);
    shared_turn(query, row, n, turning, depth, cosines, sines, places, 1.0f, query, row);
    shared_attend_step(query, row, key, row, value, row, heads, key_heads, depth, cells, first, slots, responses,
                       lengths, columns, prompt_keys, prompt_values, prompt_tokens, own_keys, own_values, new_tokens,
                       scaling, seen);
    shared_multiply(seen, after, after_bias, n, heads * depth, width, 1, x);
    shared_norm_forward(x, 0, 0, n, width, epsilon, 0, normed, 0);
    shared_multiply(normed, gate_up, gate_up_bias, n, width, 2 * inner, 0, gates);
    shared_gate_forward(gates, 2 * inner, gates + inner, 2 * inner, n, inner, gated);
    shared_multiply(gated, down, down_bias, n, inner, width, 1, x);
  }
}

/* --- Tokens and their weights ------------------------------------------------------------------- */

/* Turn a row of logits into weights, 1 for the likeliest; their sum. */
static float weighed(float *row, int64_t size, float most, float sharpness) {
  float total = 0;
  for (int64_t j = 0; j < size; j++) row[j] = exponential((row[j] - most) * sharpness);
  for (int64_t j = 0; j < size; j++) total += row[j];
  return total;
}

/* Turn rows of logits (n, size) into weights; totals (n,) are their sums, logprobs (n,) those of the targets. Rows that
   are early (unless that is null) cannot be end_id. */
void weigh(float *restrict logits, int64_t n, int64_t size, const int64_t *restrict targets,
           const uint8_t *restrict early, int64_t end_id, float sharpness, float *restrict logprobs,
           float *restrict totals) {
  PARALLEL for (int64_t i = 0; i < n; i++) {
    float *row = logits + i * size;
    if (early && early[i]) row[end_id] = -INFINITY;
    const float most = largest(row, size), aim = (row[targets[i]] - most) * sharpness;
    totals[i] = weighed(row, size, most, sharpness);
    logprobs[i] = aim - logf(totals[i]);
  }
}

/* The count-th largest of n numbers from 0 to 1: found by halving, as their bits are in their order. */
static float halved(const float *x, int64_t n, int64_t count) {
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

enum { PART = 64 };

/* The same, sooner where there are many numbers: the count-th largest is no less than that of the largest of their
   parts, and few are that large. room: n, and one more for each part. */
static float least_of_largest(const float *x, int64_t n, int64_t count, float *room) {
  const int64_t parts = (n + PART - 1) / PART;
  if (parts < count) return halved(x, n, count);
  float *most = room, *large = room + parts;
  for (int64_t p = 0; p < parts; p++) most[p] = largest(x + p * PART, p + 1 < parts ? PART : n - p * PART);
  const float bound = halved(most, parts, count);
  int64_t many = 0;
  for (int64_t p = 0; p < parts; p++)
    if (most[p] >= bound)
      for (int64_t i = p * PART; i < (p + 1) * PART && i < n; i++) {
        large[many] = x[i];
        many += x[i] >= bound;
      }
  return halved(large, many, count);
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
  const int is_cut = 0 < top_k && top_k < size;
  PARALLEL for (int64_t i = 0; i < n; i++) {
    float *row = logits + i * size, *room = malloc((size + size / PART + 2) * sizeof *room);
    if (early && early[i]) row[end_id] = -INFINITY;
    totals[i] = weighed(row, size, largest(row, size), sharpness);
    const float least = is_cut ? least_of_largest(row, size, top_k, room) : 0.0f;
    tokens[i] = where_passed(row, size, least, uniform[i], room);
    free(room);
  }
}
