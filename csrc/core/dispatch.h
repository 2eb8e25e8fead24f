// The choice of an instruction set, one for all ops. An op is compiled once per instruction set into a table of
// functions, and a call uses the table of the instruction set in use.
#pragma once
#include <array>
#include <string>
#include <vector>

namespace zoo {

// Instruction sets that are built in and usable on this machine, best first.
std::vector<std::string> usable_isas();

// The instruction set in use: the best one until set_isa is called. Threads may call both at any time.
std::string current_isa();

// Throws std::invalid_argument if `name` is not among usable_isas().
void set_isa(const std::string& name);

#if defined(__x86_64__)
constexpr int kIsas = 3;  // avx512, avx2, baseline
#else
constexpr int kIsas = 1;  // baseline
#endif

int current_isa_index();  // 0 to kIsas - 1, in the order of an IsaTables

// One table of kernels per instruction set, best first.
template <class Kernels>
using IsaTables = std::array<const Kernels*, kIsas>;

template <class Kernels>
const Kernels& kernels_in_use(const IsaTables<Kernels>& tables) {
  return *tables[current_isa_index()];
}

}  // namespace zoo

// Declares the table `name` in the namespace of every instruction set; the file of the op that is compiled once per
// instruction set defines it. Use at global scope.
#define ZOO_DECLARE_KERNELS(Kernels, name) \
  namespace zoo::avx512 {                  \
  extern const Kernels name;               \
  }                                        \
  namespace zoo::avx2 {                    \
  extern const Kernels name;               \
  }                                        \
  namespace zoo::baseline {                \
  extern const Kernels name;               \
  }

// The kernels of doubles, which are for checks of gradients: those given, compiled in the baseline's build alone, to save
// compile time; in the others, those of the baseline's table `name`.
#if ZOO_VECTOR_BYTES == 16
#define ZOO_DOUBLES_OF(name, ...) __VA_ARGS__
#else
#define ZOO_DOUBLES_OF(name, ...) ::zoo::baseline::name.of_double
#endif

// Initialises an IsaTables with the tables `name` of all instruction sets.
#if defined(__x86_64__)
#define ZOO_KERNELS_OF_ALL_ISAS(name) {&::zoo::avx512::name, &::zoo::avx2::name, &::zoo::baseline::name}
#else
#define ZOO_KERNELS_OF_ALL_ISAS(name) {&::zoo::baseline::name}
#endif
