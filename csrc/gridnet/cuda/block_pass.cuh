// The backward pass of one block over a part of the batch, in one CTA: it repeats the inner steps, saves their states
// and pre-activations, and goes back through them.
#pragma once
#include "gridnet/cuda/block_backward.cuh"

namespace zoo::gridnet::cuda {

template <class T, bool Gated, bool Resident>
class BlockPass {
  using A = Accum<T>;
  static constexpr int kDepth = kChannels<Gated>, kPlanes = kParameterPlanes<Gated>;
  static constexpr int kCells = kBackwardCells<A, Gated, Resident>;
  static constexpr bool kHeld = kHoldsWeights<A, Gated, Resident>;

 public:
  __device__ BlockPass(const BlockBackward<T>& a, A* memory)
      : a_(a),
        box_(a.blocks.box(blockIdx.x)),
        mine_(a.grid, box_, a.blocks.side),
        standardised_(!Gated && a.normalize),
        tile_(memory, box_.positions, a.blocks.cells(), standardised_),
        states_(a.states + (int64_t{blockIdx.y} * a.blocks.count + blockIdx.x) * a.inner_steps * a.blocks.cells()),
        pre_(a.pre + (int64_t{blockIdx.y} * a.blocks.count + blockIdx.x) * a.inner_steps * kDepth * a.blocks.cells()),
        partial_(a.partial + int64_t{blockIdx.y} * kPlanes * a.grid.cells()) {
    if (!Resident && !a.add_to_partial) {
      each_cell([&](int, BlockCell own) {
        for (int p = 0; p < kPlanes; ++p) partial_[int64_t{p} * cells() + own.cell] = 0;
      });
    }
    if constexpr (kHeld) {
      each_column([&](BlockCell first, int count) { held_.load(a, box_, first, count); });
      for (int step = 0; step < 2; ++step) {
        for (int p = threadIdx.x; p < box_.positions; p += blockDim.x) tile_.grad_pre(step)[p] = 0;
      }
    }
    each_cell([&](int, BlockCell own) { a.grad_out.start(blockIdx.y, cells(), own.cell); });
    box_.map_cells(a.grid, tile_.cell_at);
  }

  // Reads a sample and the gradient of its output.
  __device__ void load(int sample) {
    __syncthreads();  // no thread reads the tiles of the sample before any more
    load_tile(tile_.state(0), tile_.cell_at, box_.positions,
              [&](int cell) { return a_.input.at(sample, cells(), cell); });
    for (int p = threadIdx.x; p < box_.positions; p += blockDim.x) {
      if (Resident) tile_.state(1)[p] = tile_.state(0)[p];  // the shell
      tile_.grad[p] = 0;
    }
    __syncthreads();
    each_cell([&](int c, BlockCell own) {
      NormSums<A> norm_sums;
      tile_.grad[own.position] = a_.grad_out.read(sample, cells(), own.cell, norm_sums);
      a_.grad_out.add(blockIdx.y, cells(), own.cell, norm_sums);
      state_before(0, own) = tile_.state(0)[own.position];
      if (Resident) {
        for (int channel = 0; channel < kDepth; ++channel) totals_[c][channel] = 0;
      }
    });
  }

  // Repeats the inner steps up to the pre-activations of the last one.
  __device__ void recompute() {
    for (int step = 0; step < a_.inner_steps; ++step) {
      const bool last = step + 1 == a_.inner_steps;
      const A* inputs = tile_.state(step);
      if (standardised_) {
        standardise(inputs, box_.positions, a_.eps, tile_.standardised);
        inputs = tile_.standardised;
      }
      A pre[kCells][kDepth];
      if constexpr (kHeld) {
        each_column([&](BlockCell first, int) {
#pragma unroll
          for (int c = 0; c < kCells; ++c) pre[c][0] = held_.bias[c];
          for_each_neighbour<kCells>(inputs, first.position, box_, [&](int c, int i, A value) {
            pre[c][0] += held_.weights.weight[c][0][i] * value;
          });
        });
      }
      each_cell([&](int c, BlockCell own) {
        if constexpr (!kHeld) pre_activations(a_.parameters, cells(), box_, inputs, own, pre[c]);
        const A before = tile_.state(step)[own.position];
#pragma unroll
        for (int channel = 0; channel < kDepth; ++channel) {
          if (Resident) ahead_.pre[c][channel] = pre[c][channel];
          if (!Resident || !last) pre_activation(step, channel, own) = pre[c][channel];
        }
        if (Resident) ahead_.state[c] = before;
        if (last) return;
        A next;
        const A value = activate(a_.activation, pre[c][0]);
        if constexpr (Gated) {
          const A gate = sigmoid(pre[c][1]);
          next = gate * before + (A(1) - gate) * value;
        } else {
          next = before + scale_of(c, own) * value;
        }
        state_before(step + 1, own) = next;
        if (Resident) {
          tile_.state(step + 1)[own.position] = next;
        } else {
          tile_.grad_pre(step)[own.local] = next;  // until no thread reads the tile any more
        }
      });
      if (last) break;
      __syncthreads();
      if (Resident) continue;
      each_cell([&](int, BlockCell own) { tile_.state(step + 1)[own.position] = tile_.grad_pre(step)[own.local]; });
      __syncthreads();
    }
  }

  // From the gradient of the state after an inner step to that of the state before it.
  __device__ void back(int step) {
    write_grad_pre(step);
    __syncthreads();
    const A* inputs = tile_.state(step);
    A std = 0;
    if (standardised_) {
      std = standardise(inputs, box_.positions, a_.eps, tile_.standardised).std;
      inputs = tile_.standardised;
    }
    if (Resident && step > 0) each_cell([&](int c, BlockCell own) { recall(step - 1, c, own); });  // in good time
    pass_to_neighbours(step, inputs);
    if (standardised_) {
      const Gather<T, kDepth, Resident> gather(a_, box_, tile_.grad_pre(step), tile_.plane());
      for_each_shell_cell(a_.grid, box_, a_.blocks.side,
                          [&](BlockCell own) { tile_.grad_inputs[own.position] = gather.at_shell(own); });
      __syncthreads();
      add_through_standardise(tile_, box_.positions, std, a_.eps);
    }
    if (standardised_ || !Resident) __syncthreads();
  }

  // Writes the gradient of the sample's block with its shell.
  __device__ void write_grads(int sample) {
    const Gather<T, kDepth, Resident> gather(a_, box_, tile_.grad_pre(1), tile_.plane());
    if (!standardised_) {
      each_cell([&](int c, BlockCell own) {
#pragma unroll
        for (int channel = 0; channel < kDepth; ++channel) {
          tile_.grad_pre(1)[channel * tile_.plane() + tile_.in_plane(own)] = total(c, channel, own);
        }
      });
      __syncthreads();
    }
    A* to = a_.tile_grads + (int64_t{sample} * a_.blocks.count + blockIdx.x) * box_.positions;
    each_cell([&](int, BlockCell own) { to[own.position] = tile_.grad[own.position]; });
    for_each_shell_cell(a_.grid, box_, a_.blocks.side, [&](BlockCell own) {
      to[own.position] = standardised_ ? tile_.grad[own.position] : gather.at_shell(own);
    });
  }

  // After the last sample: writes the gradients of the parameters.
  __device__ void write_sums() {
    if constexpr (Resident) {
      each_cell([&](int c, BlockCell own) {
#pragma unroll
        for (int p = 0; p < kPlanes; ++p) {
          A* sum = partial_ + int64_t{p} * cells() + own.cell;
          *sum = a_.add_to_partial ? *sum + sums_.sums[c][p] : sums_.sums[c][p];
        }
      });
    }
  }

 private:
  // The gradients of the pre-activations of an inner step, from the gradient of the state after it.
  __device__ void write_grad_pre(int step) {
    const bool last = step + 1 == a_.inner_steps;
    each_cell([&](int c, BlockCell own) {
      if (!Resident) recall(step, c, own);
      if (!last) tile_.state(step)[own.position] = ahead_.state[c];
      const A grad = tile_.grad[own.position];
      const ValueAndSlope<A> value = activate_with_slope(a_.activation, ahead_.pre[c][0]);
      A grad_pre[kDepth];
      if constexpr (Gated) {
        const A gate = sigmoid(ahead_.pre[c][1]);
        grad_pre[0] = grad * (A(1) - gate) * value.slope;
        grad_pre[1] = grad * (ahead_.state[c] - value.value) * gate * (A(1) - gate);
        tile_.grad[own.position] = grad * gate;
      } else {
        grad_pre[0] = grad * scale_of(c, own) * value.slope;
        sums_.add(c, kPlanes - 1, grad * value.value, partial_ + own.cell, cells());
      }
#pragma unroll
      for (int channel = 0; channel < kDepth; ++channel) {
        tile_.grad_pre(step)[channel * tile_.plane() + tile_.in_plane(own)] = grad_pre[channel];
        sums_.add(c, kNeighbours * kDepth + channel, grad_pre[channel], partial_ + own.cell, cells());
        A& sum = total(c, channel, own);
        sum = last ? grad_pre[channel] : sum + grad_pre[channel];
      }
    });
  }

  // Adds to the gradients of the weights, and gathers the gradient of the inputs at the cells of the block.
  __device__ void pass_to_neighbours(int step, const A* inputs) {
    const A* grad_pre = tile_.grad_pre(step);
    const int plane = tile_.plane(), layer = box_.hy * box_.hx;
    A* to = standardised_ ? tile_.grad_inputs : tile_.grad;
    each_column([&](BlockCell first, int count) {
      A own[kCells][kDepth], gathered[kCells] = {};
#pragma unroll
      for (int c = 0; c < kCells; ++c) {
#pragma unroll
        for (int channel = 0; channel < kDepth; ++channel) {
          own[c][channel] = grad_pre[channel * plane + tile_.in_plane(first) + c * layer];
        }
      }
      for_each_neighbour<kCells>(inputs, first.position, box_, [&](int c, int i, A neighbour) {
#pragma unroll
        for (int channel = 0; channel < kDepth; ++channel) {
          sums_.add(c, i * kDepth + channel, own[c][channel] * neighbour, partial_ + first.cell, cells());
        }
      });
      if constexpr (kHeld) {
        for_each_neighbour<kCells>(grad_pre, first.position, box_, [&](int c, int i, A value) {
          gathered[c] += held_.mirrored.weight[c][0][i] * value;
        });
      } else {
        gathered[0] = Gather<T, kDepth, Resident>(a_, box_, grad_pre, plane).at_cell(first);
      }
#pragma unroll
      for (int c = 0; c < kCells; ++c) {
        if (c >= count) continue;
        A& sum = to[first.position + c * layer];
        sum = standardised_ ? gathered[c] : sum + gathered[c];
      }
    });
  }

  __device__ int cells() const { return a_.grid.cells(); }

  template <class F>
  __device__ void each_column(F f) const {
    mine_.each_column(a_.grid, box_, a_.blocks.side, f);
  }
  template <class F>
  __device__ void each_cell(F f) const {
    mine_.each(a_.grid, box_, a_.blocks.side, f);
  }

  __device__ A& state_before(int step, BlockCell own) const {
    return (states_ + step * int64_t{a_.blocks.cells()})[own.local];
  }
  __device__ A& pre_activation(int step, int channel, BlockCell own) const {
    return (pre_ + (step * kDepth + channel) * int64_t{a_.blocks.cells()})[own.local];
  }
  __device__ void recall(int step, int c, BlockCell own) {
    ahead_.state[c] = state_before(step, own);
#pragma unroll
    for (int channel = 0; channel < kDepth; ++channel) ahead_.pre[c][channel] = pre_activation(step, channel, own);
  }
  // The gradients of the pre-activations, summed over the inner steps. If not Resident they replace the
  // pre-activations of the last step, which is the first to go back through.
  __device__ A& total(int c, int channel, BlockCell own) {
    if constexpr (Resident) {
      return totals_[c][channel];
    } else {
      return pre_activation(a_.inner_steps - 1, channel, own);
    }
  }
  __device__ A scale_of(int c, BlockCell own) const {
    if constexpr (kHeld) {
      return held_.scale[c];
    } else {
      return static_cast<A>(a_.parameters.residual_scale[own.cell]);
    }
  }

  const BlockBackward<T>& a_;
  const Box box_;
  const OwnCells<kCells, Resident> mine_;
  const bool standardised_;
  const Scratch<A, Gated, Resident> tile_;
  A *const states_, *const pre_;  // of this CTA
  A* const partial_;
  HeldParameters<A, kCells> held_;               // only if kHeld
  CellSums<A, kCells, kPlanes, Resident> sums_;  // over the samples
  Recomputed<A, kCells, kDepth> ahead_ = {};     // of the next step to go back through, or if not Resident of a cell
  A totals_[kCells][kDepth] = {};                // only if Resident
};

}  // namespace zoo::gridnet::cuda
