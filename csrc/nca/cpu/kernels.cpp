// Compiled once per instruction set (CMakeLists.txt): instantiates the kernels.
#include "nca/cpu/kernels.h"

#include "nca/cpu/evolve.h"

namespace zoo::ZOO_ISA {

const nca::IsaKernels kNcaKernels = {
    .of_float = {.forward = forward<float>, .backward = backward<float>},
    .of_double = ZOO_DOUBLES_OF(kNcaKernels, {.forward = forward<double>, .backward = backward<double>}),
};

}  // namespace zoo::ZOO_ISA
