// The gradient of steps, from the last to the first: each is computed again from the state at its start, and pulled back.

// Blocks of trajectories are put together to at most so many parts, each of which keeps sums of its own for matrices.
constexpr int64_t MOST_PARTS = 64;

}  // namespace

extern "C" void run(const int64_t* given) {
  const int64_t batch = given[0], steps = given[1], threads = given[2], none = given[3];
  const T* cotangent = pointer<const T*>(given[4]);
  const double* grid = pointer<const double*>(given[5]);
  const T* states = pointer<const T*>(given[6]);
  const int64_t* slots = pointer<const int64_t*>(given[7]);
  const T* weights = pointer<const T*>(given[8]);
  T* start = pointer<T*>(given[9]);
  double* gradients = pointer<double*>(given[10]);
  double* of_matrices = pointer<double*>(given[11]);
  const int64_t* tensors = given + 12;
  const int64_t lanes = BY_ROW ? batch : 1, size = batch * NUMBERS, blocks = (batch + WIDTH - 1) / WIDTH;
  const int64_t together = (blocks + MOST_PARTS - 1) / MOST_PARTS, count = (blocks + together - 1) / together;
  // Of each block, or part, and summed in order: the number of threads changes nothing.
  std::vector<double> parts(blocks * TENSORS), matrix_parts(count * MATRICES);

#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t part = 0; part < count; ++part) {
    Given p;
    read(tensors, p);
    std::vector<Part> products(MATRICES + 1, Part(T(0)));
    for (int64_t block = part * together; block < std::min(blocks, (part + 1) * together); ++block) {
      const int64_t first = block * WIDTH;
      V sums[TENSORS + 1];
      for (int j = 0; j < TENSORS; ++j) sums[j] = V(T(0));
      Numbers y, bar, told[STORED];
      // Trajectories that only fill the block count nothing.
      alignas(64) T counts[WIDTH];
      for (int64_t lane = 0; lane < WIDTH; ++lane) counts[lane] = first + lane < batch;
      const V within = V::loadu(counts) > V(T(0));
      const bool filled = first + WIDTH > batch;
      const auto only_within = [&](Numbers& numbers) {
        if (filled)
          for (int i = 0; i < NUMBERS; ++i) numbers[i] = choose(within, numbers[i], V(T(0)));
      };
      load(cotangent, first, batch, bar);
      only_within(bar);
      for (int64_t n = steps - 1; n >= 0; --n) {
        const Place at = place(grid + 2 * n * lanes, grid + (2 * n + 1) * lanes, first, batch);
        load(states + n * size, first, batch, y);
        const bool stored = weights && slots[n] < none;
        for (int m = 0; m < STORED; ++m)
          if (stored) {
            load(weights + (slots[n] * STORED + m) * size, first, batch, told[m]);
            only_within(told[m]);
          } else {
            for (int i = 0; i < NUMBERS; ++i) told[m][i] = V(T(0));
          }
        back(at, y, p, told, bar, sums, products.data());
      }
      store(start, first, batch, bar);
      for (int j = 0; j < TENSORS; ++j) {
        alignas(64) T values[WIDTH];
        choose(within, sums[j], V(T(0))).store(values);
        double total = 0.0;
        for (int64_t lane = 0; lane < WIDTH; ++lane) total += values[lane];
        parts[block * TENSORS + j] = total;
      }
    }
    for (int j = 0; j < MATRICES; ++j) {
      alignas(64) T values[Part::size()];
      products[j].store(values);
      double total = 0.0;
      for (int64_t lane = 0; lane < Part::size(); ++lane) total += values[lane];
      matrix_parts[part * MATRICES + j] = total;
    }
  }
  for (int j = 0; j < TENSORS; ++j) {
    gradients[j] = 0.0;
    for (int64_t block = 0; block < blocks; ++block) gradients[j] += parts[block * TENSORS + j];
  }
  for (int j = 0; j < MATRICES; ++j) {
    of_matrices[j] = 0.0;
    for (int64_t part = 0; part < count; ++part) of_matrices[j] += matrix_parts[part * MATRICES + j];
  }
}
