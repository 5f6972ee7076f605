// The composites with reductions, each in one launch. `kernels.py` says what each is for; the portable
// definitions, against which these are tested, say what each computes. T is float or double; *nets are
// flattened into one axis, blockIdx.x, because it may be longer than the other grid axes.

const int THREADS = 512;

// The maximum; NaN if either is NaN.
__device__ T larger(T a, T b) { return (a > b || a != a) ? a : b; }

// Combine the values of every `lanes` adjacent threads (a power of two); each of them gets the result.
__device__ T over_lanes(T value, int lanes, bool maximum) {
    __shared__ T shared[THREADS];
    if (lanes == 1) return value;
    int t = threadIdx.x, lane = t % lanes;
    shared[t] = value;
    for (int half = lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) {
            T other = shared[t + half];
            shared[t] = maximum ? larger(shared[t], other) : shared[t] + other;
        }
    }
    __syncthreads();
    T result = shared[t - lane];
    __syncthreads(); // before the next call writes
    return result;
}

// Softmax cross-entropy of rows of scores, and its gradient. Targets are labels or, with `soft`, probabilities;
// `*_of_net` is the distance from one network's array to the next, 0 if all share it; weight and factor may be
// null. `loss` (nets, blocks) gets the partial sum of each block.
extern "C" __global__ void softmax_cross_entropy(
    const T* scores, const long long* labels, const T* soft, const T* weight, const T* factor, T* dscores,
    T* loss, long long rows, long long classes, long long target_of_net, long long weight_of_net, int lanes) {
    long long net = blockIdx.x, rows_at_once = THREADS / lanes;
    int lane = threadIdx.x % lanes;
    T by = (factor ? factor[net] : (T)1) / rows, sum = 0;
    // All threads of a block must make the same number of iterations, because they synchronise inside the loop.
    for (long long first = blockIdx.y * rows_at_once; first < rows; first += gridDim.y * rows_at_once) {
        long long row = first + threadIdx.x / lanes;
        bool is_row = row < rows;
        const T* s = scores + (net * rows + row) * classes;
        T* d = dscores + (net * rows + row) * classes;
        const T* Y = soft ? soft + net * target_of_net + row * classes : 0;
        long long y = !soft && is_row ? labels[net * target_of_net + row] : -1;
        long long end = is_row ? classes : 0;

        T top = is_row ? s[0] : (T)0;
        for (long long c = lane; c < end; c += lanes) top = larger(top, s[c]);
        top = over_lanes(top, lanes, true);
        T total = 0, of_target = 0;
        for (long long c = lane; c < end; c += lanes) {
            T shifted = s[c] - top, Yc = soft ? Y[c] : (T)(c == y), e = exp(shifted);
            d[c] = e;
            total += e;
            if (Yc != 0) of_target += Yc * shifted;
        }
        total = over_lanes(total, lanes, false);
        of_target = over_lanes(of_target, lanes, false);
        T share = is_row && weight ? weight[net * weight_of_net + row] : (T)1;
        for (long long c = lane; c < end; c += lanes)
            d[c] = (d[c] / total - (soft ? Y[c] : (T)(c == y))) * (by * share);
        if (is_row && lane == 0) sum += (log(total) - of_target) * (share / rows);
    }
    sum = over_lanes(sum, THREADS, false);
    if (threadIdx.x == 0) loss[net * gridDim.y + blockIdx.y] = sum;
}

// Sums of squares of an array (nets, size): each block writes its sum to its place in the `parts` of a network.
// With a `rate` and a `decay`, the array is also multiplied by 1 - rate * decay.
extern "C" __global__ void squares(
    T* array, const T* rate, const T* decay, T* parts, long long size, long long parts_of_net,
    long long first_part) {
    long long net = blockIdx.x;
    T* a = array + net * size;
    T by = rate ? 1 - rate[net] * decay[net] : (T)1, sum = 0;
    for (long long i = blockIdx.y * (long long)THREADS + threadIdx.x; i < size; i += gridDim.y * (long long)THREADS) {
        T value = a[i];
        sum += value * value;
        if (rate) a[i] = value * by;
    }
    sum = over_lanes(sum, THREADS, false);
    if (threadIdx.x == 0) parts[net * parts_of_net + first_part + blockIdx.y] = sum;
}

// loss + reg / 2 times the sum of the parts, for each network; loss may be null. If reg is 0, the result is the
// loss alone, since 0 times an overflowed sum would be NaN.
extern "C" __global__ void regularised(const T* loss, const T* reg, const T* parts, T* out, long long parts_of_net) {
    long long net = blockIdx.x;
    T sum = 0;
    for (long long i = threadIdx.x; i < parts_of_net; i += THREADS) sum += parts[net * parts_of_net + i];
    sum = over_lanes(sum, THREADS, false);
    if (threadIdx.x == 0) out[net] = (loss ? loss[net] : (T)0) + (reg[net] > 0 ? (T)0.5 * reg[net] * sum : (T)0);
}
