// What all kernels share. Before it stand, for each field and solver:
//   T (the numbers' type), NUMBERS (of one trajectory), TENSORS (numbers that the field reads of its tensors), STAGES, STORED
//   (tensors stored of a step with output times), UNROLL, ARRAYS (tensors that are read), MATRICES (numbers of the matrices that
//   vectors are multiplied by), BY_ROW (whether each trajectory has steps of its own), TAKES_OVER
//   (whether the derivative at the end of a step is the next one's first stage).
#include <ATen/cpu/vec/vec.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using V = at::vec::VectorizedN<T, UNROLL>;
using Part = at::vec::Vectorized<T>;  // one of the UNROLL vectors of a V
constexpr int64_t WIDTH = V::size();
using Numbers = V[NUMBERS];

// Of (exp(r) - 1 - r) / r² for |r| ≤ log(2)/2, with the smallest largest relative error of exp(r) - 1, 0.004 of 2⁻²⁴.
constexpr double EXPM1[] = {0.5, 0.1666666567325592, 0.041666362434625626, 0.008333389647305012, 0.0013940617209300399, 0.00019845875794999301};
constexpr int EXPM1_TERMS = sizeof(EXPM1) / sizeof(*EXPM1);

// What a field reads of its tensors: single numbers, spread over the trajectories, and where each tensor lies.
struct Given {
  V number[TENSORS + 1];
  const T* array[ARRAYS + 1];
};

inline V choose(const V& condition, const V& yes, const V& no) { return V::blendv(no, yes, condition); }

// The hyperbolic tangent of |x|: -m / (2 + m) where x is small, and 1 - 2e / (1 + e) where it is not, with e = exp(-2|x|) and
// m = e - 1. With -2|x| = n·log 2 + r it is m = 2ⁿ·p(r) + (2ⁿ - 1), p(r) = exp(r) - 1 by a polynomial: nothing cancels. One division.
inline at::vec::Vectorized<float> hyperbolic_tangent_of(const at::vec::Vectorized<float>& x) {
  using F = at::vec::Vectorized<float>;
  using I = at::vec::Vectorized<int32_t>;
  const F bits = F(-0.0f) & x;
  const F z = clamp_min(x.abs() * F(-2.0f), F(-20.0f));
  const F n = (z * F(1.44269504f)).round();
  const F r = fmadd(n, F(-1.42860677e-6f), fmadd(n, F(-0.693145752f), z));
  F q = F(float(EXPM1[EXPM1_TERMS - 1]));
  for (int k = EXPM1_TERMS - 2; k >= 0; --k) q = fmadd(q, r, F(float(EXPM1[k])));
  const F p = fmadd(r * r, q, r);
  const F scale = at::vec::cast<float>((at::vec::convert_to_int_of_same_size(n) + I(127)) << I(23));
  const F e = fmadd(scale, p, scale), m = fmadd(scale, p, scale - F(1.0f));
  const F small = z > F(-1.5f);
  // 1 + e is 2 + m.
  const F share = F::blendv(e, F(0.0f) - m, small) / fmadd(scale, p, scale + F(1.0f));
  return F::blendv(fmadd(share, F(-2.0f), F(1.0f)), share, small) | bits;
}

inline V hyperbolic_tangent(const V& x) {
  if constexpr (sizeof(T) == 8)
    return x.tanh();
  else
    return x.unary_op([](const at::vec::Vectorized<float>& part) { return hyperbolic_tangent_of(part); });
}

// A vector times a matrix whose rows lie `down` apart and whose columns `along`; some columns at once, whose sums stay in registers.
template <int rows, int columns, int down, int along>
inline void times(const V* given, const T* matrix, V* found) {
  constexpr int together = 16 / UNROLL;
  for (int first = 0; first < columns; first += together) {
    constexpr int rest = columns % together;
    if (first + together <= columns) {
      V sums[together];
      for (int n = 0; n < together; ++n) sums[n] = V(T(0));
      for (int k = 0; k < rows; ++k)
#pragma GCC unroll 8
        for (int n = 0; n < together; ++n)
          sums[n] = fmadd(V(matrix[k * down + (first + n) * along]), given[k], sums[n]);
      for (int n = 0; n < together; ++n) found[first + n] = sums[n];
    } else if constexpr (rest > 0) {
      V sums[rest];
      for (int n = 0; n < rest; ++n) sums[n] = V(T(0));
      for (int k = 0; k < rows; ++k)
#pragma GCC unroll 8
        for (int n = 0; n < rest; ++n) sums[n] = fmadd(V(matrix[k * down + (first + n) * along]), given[k], sums[n]);
      for (int n = 0; n < rest; ++n) found[first + n] = sums[n];
    }
  }
}

// Adds the outer product of two vectors to sums over trajectories, of which lanes keep their own; some rows at once, so that a cotangent
// that was loaded serves them all.
template <int rows, int columns>
inline void outer(const V* given, const V* bars, Part* sums) {
  constexpr int most = 4;
  for (int first = 0; first < rows; first += most) {
    const int together = std::min(most, rows - first);
    Part left[most][UNROLL], right[UNROLL];
    for (int m = 0; m < together; ++m)
      for (int u = 0; u < UNROLL; ++u) left[m][u] = given[first + m][u];
    if (together == most) {
      for (int n = 0; n < columns; ++n) {
        for (int u = 0; u < UNROLL; ++u) right[u] = bars[n][u];
#pragma GCC unroll 4
        for (int m = 0; m < most; ++m) {
          Part sum = sums[(first + m) * columns + n];
          for (int u = 0; u < UNROLL; ++u) sum = fmadd(left[m][u], right[u], sum);
          sums[(first + m) * columns + n] = sum;
        }
      }
    } else {
      for (int m = 0; m < together; ++m)
        for (int n = 0; n < columns; ++n)
          for (int u = 0; u < UNROLL; ++u)
            sums[(first + m) * columns + n] = fmadd(left[m][u], bars[n][u], sums[(first + m) * columns + n]);
    }
  }
}

// The trajectories [first, first + WIDTH), one number after the other; what lies beyond the batch repeats the last one.
inline void load(const T* from, int64_t first, int64_t batch, Numbers& into) {
  alignas(64) T lanes[NUMBERS][WIDTH];
  if (first + WIDTH <= batch) {
    const T* at = from + first * NUMBERS;
    for (int64_t lane = 0; lane < WIDTH; ++lane)
      for (int n = 0; n < NUMBERS; ++n) lanes[n][lane] = at[lane * NUMBERS + n];
  } else {
    for (int64_t lane = 0; lane < WIDTH; ++lane)
      for (int n = 0; n < NUMBERS; ++n) lanes[n][lane] = from[std::min(first + lane, batch - 1) * NUMBERS + n];
  }
  for (int n = 0; n < NUMBERS; ++n) into[n] = V::loadu(lanes[n]);
}

inline void store(T* into, int64_t first, int64_t batch, const Numbers& from) {
  alignas(64) T lanes[NUMBERS][WIDTH];
  for (int n = 0; n < NUMBERS; ++n) from[n].store(lanes[n]);
  T* at = into + first * NUMBERS;
  const int64_t count = std::min(WIDTH, batch - first);
  if (count == WIDTH) {
    for (int64_t lane = 0; lane < WIDTH; ++lane)
      for (int n = 0; n < NUMBERS; ++n) at[lane * NUMBERS + n] = lanes[n][lane];
  } else {
    for (int64_t lane = 0; lane < count; ++lane)
      for (int n = 0; n < NUMBERS; ++n) at[lane * NUMBERS + n] = lanes[n][lane];
  }
}

// Numbers of one kind, of the trajectories [first, first + WIDTH).
inline V spread(const double* from, int64_t first, int64_t batch) {
  alignas(64) T lanes[WIDTH];
  for (int64_t lane = 0; lane < WIDTH; ++lane) lanes[lane] = T(from[std::min(first + lane, batch - 1)]);
  return V::loadu(lanes);
}

// Times and lengths in a step: t and dt are one number for all, in double precision as in Python, ...
struct Joint {
  double t, dt;
  V time(double c) const { return V(T(t + c * dt)); }
  V length(double c) const { return V(T(c * dt)); }
};

// ... or one for each trajectory, in that of the state.
struct ByRow {
  V t, dt;
  V time(double c) const { return t + V(T(c)) * dt; }
  V length(double c) const { return V(T(c)) * dt; }
};

template <bool by_row>
struct PlaceOf;
template <>
struct PlaceOf<false> {
  using type = Joint;
  static Joint at(const double* t, const double* dt, int64_t, int64_t) { return {*t, *dt}; }
};
template <>
struct PlaceOf<true> {
  using type = ByRow;
  static ByRow at(const double* t, const double* dt, int64_t first, int64_t batch) {
    return {spread(t, first, batch), spread(dt, first, batch)};
  }
};
using Place = PlaceOf<BY_ROW>::type;

inline Place place(const double* t, const double* dt, int64_t first, int64_t batch) {
  return PlaceOf<BY_ROW>::at(t, dt, first, batch);
}

template <class Pointer>
Pointer pointer(int64_t address) {
  return reinterpret_cast<Pointer>(address);
}
