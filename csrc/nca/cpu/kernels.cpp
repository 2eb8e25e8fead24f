// Compiled once per instruction set (CMakeLists.txt).
#include "nca/cpu/kernels.h"

#include "nca/cpu/evolve.h"

namespace zoo::ZOO_ISA {

const nca::IsaKernels kNcaKernels = {{forward<float>, backward<float>}, {forward<double>, backward<double>}};

}  // namespace zoo::ZOO_ISA
