// Steps with control of their size; the formulas are those of `odebench.compiled.adaptive`. States lie in blocks of WIDTH
// trajectories, one number after the other.

constexpr int RUNNING = 0, TOO_SMALL = 1;
using D = at::vec::Vectorized<double>;

struct Settings {
  double rtol, atol, safety, least, most, integral, proportional, inverse, smallest;
};

// Blocks of numbers, aligned.
struct Blocks {
  std::vector<T> memory;
  T* start;
  Blocks(int64_t blocks, int64_t tensors) : memory(blocks * tensors * NUMBERS * WIDTH + 64 / sizeof(T)) {
    start = pointer<T*>((reinterpret_cast<int64_t>(memory.data()) + 63) / 64 * 64);
  }
  T* of(int64_t block, int64_t tensor = 0, int64_t tensors = 1) const {
    return start + (block * tensors + tensor) * NUMBERS * WIDTH;
  }
};

inline void fetch(const T* from, Numbers& into) {
  for (int i = 0; i < NUMBERS; ++i) into[i] = V::loadu(from + i * WIDTH);
}
inline void put(T* into, const Numbers& from) {
  for (int i = 0; i < NUMBERS; ++i) from[i].store(into + i * WIDTH);
}

// Σ (value / (atol + rtol·size))² over the numbers of each trajectory.
inline V squares(const Numbers& value, const Numbers& size, const Settings& s) {
  V total(T(0));
  for (int i = 0; i < NUMBERS; ++i) {
    const V ratio = value[i] / (V(T(s.atol)) + V(T(s.rtol)) * size[i]);
    total = total + ratio * ratio;
  }
  return total;
}

// Those sums as root mean squares: one for each trajectory, or of all.
inline void norms(const std::vector<T>& sums, int64_t batch, double* into) {
  if (BY_ROW) {
    for (int64_t row = 0; row < batch; ++row) into[row] = std::sqrt(double(sums[row] / T(NUMBERS)));
    return;
  }
  double total = 0.0;
  for (int64_t first = 0; first < batch; first += WIDTH) {
    T part = 0;
    for (int64_t row = first; row < std::min(first + WIDTH, batch); ++row) part += sums[row];
    total += part;
  }
  into[0] = std::sqrt(total / (double(batch) * NUMBERS));
}

}  // namespace

extern "C" void run(const int64_t* given) {
  const int64_t batch = given[0], threads = given[1], count = given[2], limit = given[3], stride = given[4], room = given[5];
  const bool fresh = given[6], guess = given[7], interpolates = given[8];
  const double* ts = pointer<const double*>(given[9]);
  const Settings s = *pointer<const Settings*>(given[10]);
  double* numbers = pointer<double*>(given[11]);
  bool* resting = pointer<bool*>(given[12]);
  int64_t* pending = pointer<int64_t*>(given[13]);
  T* y_given = pointer<T*>(given[14]);
  T* slope_given = pointer<T*>(given[15]);
  double* grid = pointer<double*>(given[16]);
  T* states = pointer<T*>(given[17]);
  T* stored = pointer<T*>(given[18]);
  int64_t* where = pointer<int64_t*>(given[19]);
  int64_t* slot = pointer<int64_t*>(given[20]);
  int64_t* counts = pointer<int64_t*>(given[21]);
  const int64_t* tensors = given + 22;

  const int64_t lanes = BY_ROW ? batch : 1, size = batch * NUMBERS, blocks = (batch + WIDTH - 1) / WIDTH;
  const int64_t padded = (lanes + D::size() - 1) / D::size() * D::size();
  const bool parallel = threads > 1 && blocks >= 4 * threads;
  const double direction = ts[count - 1] >= ts[0] ? 1.0 : -1.0;
  double *t = numbers, *dt = numbers + lanes, *previous = numbers + 2 * lanes;
  std::vector<double> length(padded), goals(padded), error(padded), growth(padded), shrink(padded), before(padded);
  std::vector<T> sums(blocks * WIDTH);
  std::vector<uint8_t> active(lanes), last(lanes), accepted(lanes);
  Given p;
  read(tensors, p);
  Blocks y(blocks, 1), slope(blocks, 1), end(blocks, 1), end_slope(blocks, 1), told(stored ? blocks : 0, STORED);

  for (int64_t block = 0; block < blocks; ++block) {
    Numbers here;
    load(y_given, block * WIDTH, batch, here);
    put(y.of(block), here);
    load(slope_given, block * WIDTH, batch, here);
    put(slope.of(block), here);
  }

  if (fresh && (guess || TAKES_OVER)) {
    for (int64_t block = 0; block < blocks; ++block) {
      Numbers here, k;
      fetch(y.of(block), here);
      field(place(t, dt, block * WIDTH, batch).time(0.0), here, p, k);
      put(slope.of(block), k);
    }
  }
  if (fresh && guess) {
    // Hairer, Nørsett, Wanner, "Solving ODEs I", 2nd ed., section II.4, "Starting Step Size".
    std::vector<double> d0(lanes), d1(lanes), d2(lanes), first(lanes);
    std::vector<T> of_y(sums.size()), of_slope(sums.size());
    for (int64_t block = 0; block < blocks; ++block) {
      Numbers here, k, scale;
      fetch(y.of(block), here);
      fetch(slope.of(block), k);
      for (int i = 0; i < NUMBERS; ++i) scale[i] = here[i].abs();
      squares(here, scale, s).store(of_y.data() + block * WIDTH);
      squares(k, scale, s).store(of_slope.data() + block * WIDTH);
    }
    norms(of_y, batch, d0.data());
    norms(of_slope, batch, d1.data());
    const double span = std::abs(ts[count - 1] - ts[0]);
    for (int64_t lane = 0; lane < lanes; ++lane) {
      double h0 = d0[lane] >= 1e-5 && d1[lane] >= 1e-5 ? 0.01 * d0[lane] / d1[lane] : 1e-6;
      first[lane] = direction * std::min(h0 == 0.0 ? 1e-6 : h0, span);
    }
    for (int64_t block = 0; block < blocks; ++block) {
      Numbers here, k, scale, x, other;
      fetch(y.of(block), here);
      fetch(slope.of(block), k);
      const Place at = place(t, first.data(), block * WIDTH, batch);
      for (int i = 0; i < NUMBERS; ++i) {
        scale[i] = here[i].abs();
        x[i] = here[i] + at.length(1.0) * k[i];
      }
      field(at.time(1.0), x, p, other);
      for (int i = 0; i < NUMBERS; ++i) other[i] = other[i] - k[i];
      squares(other, scale, s).store(sums.data() + block * WIDTH);
    }
    norms(sums, batch, d2.data());
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const double h0 = std::abs(first[lane]);
      const double curved = d2[lane] / h0;
      const double steepest = std::isnan(d1[lane]) || std::isnan(curved) ? NAN : std::max(d1[lane], curved);
      const double h1 = steepest <= 1e-15 ? std::max(h0 * 1e-3, 1e-6) : std::pow(0.01 / steepest, s.inverse);
      const double step = std::isnan(h1) ? NAN : std::min(std::min(100.0 * h0, h1), span);
      dt[lane] = direction * std::max(std::isfinite(step) && step > 0.0 ? step : h0, s.smallest);
    }
  }

  int64_t n = 0, attempts = 0, refusals = 0, used = 0;
  int status = RUNNING;
  bool waiting = true;
  auto goal_of = [&](int64_t lane) { return interpolates ? ts[count - 1] : ts[std::min(pending[lane], count - 1)]; };
  while (status == RUNNING && n < room && attempts < limit && waiting) {
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const double goal = goal_of(lane);
      active[lane] = pending[lane] < count;
      last[lane] = direction * (t[lane] + dt[lane] * (1.0 + CLOSE) - goal) >= 0.0;
      length[lane] = active[lane] ? (last[lane] ? goal - t[lane] : dt[lane]) : 0.0;
      goals[lane] = last[lane] && active[lane] ? goal : t[lane] + length[lane];
    }
#pragma omp parallel for num_threads(threads) if (parallel)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = block * WIDTH;
      if (BY_ROW && std::none_of(active.begin() + first, active.begin() + std::min(first + WIDTH, batch), [](uint8_t a) { return a; }))
        continue;
      Numbers here, k[STAGES], ends, tail, estimate, scale;
      fetch(y.of(block), here);
      const Place at = place(t, length.data(), first, batch);
      if (TAKES_OVER)
        fetch(slope.of(block), k[0]);
      else
        field(at.time(0.0), here, p, k[0]);
      stages(at, here, p, k);
      ahead(at, here, k, ends);
      put(end.of(block), ends);
      if (TAKES_OVER) {
        field(at.time(1.0), ends, p, tail);
        put(end_slope.of(block), tail);
      }
      estimated(at, k, tail, estimate);
      for (int i = 0; i < NUMBERS; ++i) scale[i] = maximum(here[i].abs(), ends[i].abs());
      squares(estimate, scale, s).store(sums.data() + first);
      if (stored) {
        Numbers parts[STORED];
        tell(here, ends, k, tail, parts);
        for (int m = 0; m < STORED; ++m) put(told.of(block, m, STORED), parts[m]);
      }
    }
    norms(sums, batch, error.data());
    std::copy(previous, previous + lanes, before.begin());
    for (int64_t lane = 0; lane < padded; lane += D::size()) {
      const D e = D::loadu(error.data() + lane), old = D::loadu(before.data() + lane);
      const D factor = D(s.safety) * maximum(e, D(1e-30)).pow(D(-s.integral));
      (s.proportional == 0.0 ? factor : factor * old.pow(D(s.proportional))).store(growth.data() + lane);
    }
    bool any = false, hit = false, small = false;
    waiting = false;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      accepted[lane] = active[lane] && error[lane] <= 1.0;
      any |= accepted[lane];
    }
    double* row = grid + 2 * n * lanes;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      row[lane] = t[lane];
      row[lanes + lane] = accepted[lane] ? length[lane] : 0.0;
    }
    if (any && states && n % stride == 0) {
      for (int64_t block = 0; block < blocks; ++block) {
        Numbers here;
        fetch(y.of(block), here);
        store(states + n / stride * size, block * WIDTH, batch, here);
      }
    }
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const double e = error[lane], planned = dt[lane], taken = length[lane];
      if (accepted[lane]) {
        const double factor = std::min(std::max(growth[lane], s.least), resting[lane] ? 1.0 : s.most);
        // A step cut short to meet a time says nothing against the length that was planned.
        dt[lane] = last[lane] && factor >= 1.0 ? direction * std::max(std::abs(taken * factor), std::abs(planned))
                                            : taken * factor;
        t[lane] = goals[lane];
        previous[lane] = std::max(e, 1e-4);
        const int64_t begun = pending[lane];
        while (pending[lane] < count && direction * (goals[lane] - ts[pending[lane]]) >= -CLOSE * std::abs(taken)) {
          if (stored) {
            where[pending[lane] * lanes + lane] = n;
            slot[pending[lane] * lanes + lane] = used;
          }
          ++pending[lane];
        }
        hit |= pending[lane] > begun;
      } else if (active[lane]) {
        const double factor = std::isfinite(e) ? s.safety * std::pow(e, -s.inverse) : s.least;
        dt[lane] = taken * std::min(std::max(factor, s.least), 1.0);
        ++refusals;
      }
      if (active[lane]) resting[lane] = !accepted[lane];
      if (pending[lane] < count) {
        waiting = true;
        const bool ends = direction * (t[lane] + dt[lane] * (1.0 + CLOSE) - goal_of(lane)) >= 0.0;
        small |= !ends && std::abs(dt[lane]) < s.smallest;
      }
    }
    if (stored && hit) {
      for (int64_t block = 0; block < blocks; ++block)
        for (int m = 0; m < STORED; ++m) {
          Numbers part;
          fetch(told.of(block, m, STORED), part);
          store(stored + (used * STORED + m) * size, block * WIDTH, batch, part);
        }
      ++used;
    }
    if (!BY_ROW) {
      if (any) {
        std::swap(y, end);
        std::swap(slope, end_slope);
      }
    } else if (any) {
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t first = block * WIDTH, inside = std::min(WIDTH, batch - first);
        for (int i = 0; i < NUMBERS; ++i)
          for (int64_t lane = 0; lane < inside; ++lane)
            if (accepted[first + lane]) {
              y.of(block)[i * WIDTH + lane] = end.of(block)[i * WIDTH + lane];
              if (TAKES_OVER) slope.of(block)[i * WIDTH + lane] = end_slope.of(block)[i * WIDTH + lane];
            }
      }
    }
    n += any;
    ++attempts;
    if (small) status = TOO_SMALL;
  }

  for (int64_t block = 0; block < blocks; ++block) {
    Numbers here;
    fetch(y.of(block), here);
    store(y_given, block * WIDTH, batch, here);
    if (TAKES_OVER) {
      fetch(slope.of(block), here);
      store(slope_given, block * WIDTH, batch, here);
    }
  }
  int64_t unmet = 0;
  for (int64_t lane = 0; lane < lanes; ++lane) unmet += pending[lane] < count;
  const int64_t result[] = {n, attempts, refusals, status, unmet};
  std::copy(result, result + 5, counts);
}
