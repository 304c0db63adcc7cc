// The gradient of steps, from the last to the first: each is computed again from the state at its start, and pulled back.

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
  const int64_t* tensors = given + 11;
  const int64_t lanes = BY_ROW ? batch : 1, size = batch * NUMBERS, blocks = (batch + WIDTH - 1) / WIDTH;
  // Of each block, and summed in order: the number of threads changes nothing.
  std::vector<double> parts(blocks * TENSORS);

#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t first = 0; first < batch; first += WIDTH) {
    Given p;
    V sums[TENSORS + 1];
    read(tensors, p);
    for (int j = 0; j < TENSORS; ++j) sums[j] = V(T(0));
    Numbers y, bar, told[STORED];
    load(cotangent, first, batch, bar);
    // Trajectories that only fill the block count nothing.
    alignas(64) T counts[WIDTH];
    for (int64_t lane = 0; lane < WIDTH; ++lane) counts[lane] = first + lane < batch;
    const V within = V::loadu(counts) > V(T(0));
    for (int64_t n = steps - 1; n >= 0; --n) {
      const Place at = place(grid + 2 * n * lanes, grid + (2 * n + 1) * lanes, first, batch);
      load(states + n * size, first, batch, y);
      const bool stored = weights && slots[n] < none;
      for (int m = 0; m < STORED; ++m)
        if (stored)
          load(weights + (slots[n] * STORED + m) * size, first, batch, told[m]);
        else
          for (int i = 0; i < NUMBERS; ++i) told[m][i] = V(T(0));
      back(at, y, p, told, bar, sums);
    }
    store(start, first, batch, bar);
    for (int j = 0; j < TENSORS; ++j) {
      alignas(64) T values[WIDTH];
      choose(within, sums[j], V(T(0))).store(values);
      double total = 0.0;
      for (int64_t lane = 0; lane < WIDTH; ++lane) total += values[lane];
      parts[first / WIDTH * TENSORS + j] = total;
    }
  }
  for (int j = 0; j < TENSORS; ++j) {
    gradients[j] = 0.0;
    for (int64_t block = 0; block < blocks; ++block) gradients[j] += parts[block * TENSORS + j];
  }
}
