// Compiled once per instruction set (CMakeLists.txt).
#include "cpu_isa.h"

#include "cpu_evolve.h"

namespace zoo::ZOO_ISA {

const nca::IsaKernels kNcaKernels = {{forward<float>, backward<float>}, {forward<double>, backward<double>}};

}  // namespace zoo::ZOO_ISA
