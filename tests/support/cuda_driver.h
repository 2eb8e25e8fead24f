// What programs that run CUDA kernels under a sanitizer share. Each tensor and workspace is an allocation of its own,
// exactly as long as declared, and starts as NaN.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace driver {

inline int passes = 0;

struct Memory {
  std::unique_ptr<char[]> bytes;
  explicit Memory(size_t size) : bytes(new char[size]) { memset(bytes.get(), 0xff, size); }
  operator void*() const { return bytes.get(); }
};

struct Tensor {
  size_t count;
  std::unique_ptr<float[]> values;

  explicit Tensor(size_t count_) : count(count_), values(new float[count_]) {
    memset(values.get(), 0xff, count * sizeof(float));
  }
  Tensor& random(float scale) {
    static std::minstd_rand engine(1);
    std::uniform_real_distribution<float> draw(-scale, scale);
    for (size_t i = 0; i < count; ++i) values[i] = draw(engine);
    return *this;
  }
  void check(const char* name) const {
    for (size_t i = 0; i < count; ++i) {
      if (std::isfinite(values[i])) continue;
      fprintf(stderr, "%s[%zu] is %f\n", name, i, values[i]);
      exit(1);
    }
  }
  operator void*() const { return values.get(); }
};

inline void expect_ok(const std::string& error) {
  ++passes;
  if (error.empty()) return;
  fprintf(stderr, "%s\n", error.c_str());
  exit(1);
}

}  // namespace driver
