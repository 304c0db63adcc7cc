// The steps of a grid: each block of trajectories stays in registers from the first to the last.

}  // namespace

extern "C" void run(const int64_t* given) {
  const int64_t batch = given[0], steps = given[1], threads = given[2], kept = given[3], none = given[4];
  const T* y0 = pointer<const T*>(given[5]);
  const double* grid = pointer<const double*>(given[6]);
  T* y1 = pointer<T*>(given[7]);
  const int64_t* rows = pointer<const int64_t*>(given[8]);
  T* states = pointer<T*>(given[9]);
  const int64_t* slots = pointer<const int64_t*>(given[10]);
  T* stored = pointer<T*>(given[11]);
  const int64_t* tensors = given + 12;
  const int64_t lanes = BY_ROW ? batch : 1, size = batch * NUMBERS;

#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t first = 0; first < batch; first += WIDTH) {
    Given p;
    read(tensors, p);
    Numbers y, k[STAGES], end, slope;
    load(y0, first, batch, y);
    if (TAKES_OVER) field(place(grid, grid + lanes, first, batch).time(0.0), y, p, slope);
    for (int64_t n = 0; n < steps; ++n) {
      const Place at = place(grid + 2 * n * lanes, grid + (2 * n + 1) * lanes, first, batch);
      if (kept && rows[n] < kept) store(states + rows[n] * size, first, batch, y);
      if (TAKES_OVER)
        for (int i = 0; i < NUMBERS; ++i) k[0][i] = slope[i];
      else
        field(at.time(0.0), y, p, k[0]);
      stages(at, y, p, k);
      ahead(at, y, k, end);
      if (TAKES_OVER) field(at.time(1.0), end, p, slope);
      if (stored && slots[n] < none) {
        Numbers told[STORED];
        tell(y, end, k, slope, told);
        for (int m = 0; m < STORED; ++m) store(stored + (slots[n] * STORED + m) * size, first, batch, told[m]);
      }
      for (int i = 0; i < NUMBERS; ++i) y[i] = end[i];
    }
    store(y1, first, batch, y);
  }
}
