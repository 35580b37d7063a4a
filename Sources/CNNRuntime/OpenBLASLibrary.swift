import COpenBLAS
import Glibc

/// The functions of OpenBLAS that are used, with the types of its C header.
package struct OpenBLASLibrary: Sendable {
  package typealias SGEMM =
    @convention(c) (
      CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint, Float, UnsafePointer<Float>?, blasint,
      UnsafePointer<Float>?, blasint, Float, UnsafeMutablePointer<Float>?, blasint
    ) -> Void
  typealias GetThreadCount = @convention(c) () -> Int32
  typealias SetThreadCount = @convention(c) (Int32) -> Void
  typealias GetCoreName = @convention(c) () -> UnsafePointer<CChar>?

  /// `cblas_sgemm`
  package let sgemm: SGEMM
  /// `openblas_get_num_threads`
  let getThreadCount: GetThreadCount
  /// `openblas_set_num_threads`
  let setThreadCount: SetThreadCount
  /// `openblas_get_corename`: the processor whose kernels are in use.
  let coreName: String

  /// Opens the library `name`, or returns nil if there is none.
  static func open(_ name: String) -> OpenBLASLibrary? {
    let isShared = dlopen(name, RTLD_NOW | RTLD_NOLOAD) != nil
    guard let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL) else { return nil }
    guard let library = OpenBLASLibrary(handle) else {
      dlclose(handle)
      return nil
    }
    // A release older than the processor does not know its model and takes its slowest kernels, those of the first
    // x86-64: a sixth of the speed on Emerald Rapids with 0.3.21. The choice is made while the library is loaded, from
    // this variable if it is set. A library that somebody else has loaded already is left as it is.
    let variable = "OPENBLAS_CORETYPE"
    guard library.coreName == "Prescott", !isShared, getenv(variable) == nil, let core = fittingCore() else {
      return library
    }
    dlclose(handle)
    setenv(variable, core, 1)
    defer { unsetenv(variable) }
    return dlopen(name, RTLD_NOW | RTLD_LOCAL).flatMap { OpenBLASLibrary($0) }
  }

  private init?(_ handle: UnsafeMutableRawPointer) {
    guard let sgemm = dlsym(handle, "cblas_sgemm"),
      let getThreadCount = dlsym(handle, "openblas_get_num_threads"),
      let setThreadCount = dlsym(handle, "openblas_set_num_threads"),
      let getCoreName = dlsym(handle, "openblas_get_corename")
    else { return nil }
    self.sgemm = unsafeBitCast(sgemm, to: SGEMM.self)
    self.getThreadCount = unsafeBitCast(getThreadCount, to: GetThreadCount.self)
    self.setThreadCount = unsafeBitCast(setThreadCount, to: SetThreadCount.self)
    coreName = unsafeBitCast(getCoreName, to: GetCoreName.self)().map { String(cString: $0) } ?? ""
  }

  /// OpenBLAS's name for the newest kernels that this processor can run, or nil if the slowest ones it is.
  private static func fittingCore() -> String? {
    // The C library asks the processor, so an emulator's answer counts; /proc/cpuinfo is always that of the machine.
    // Eight words: the registers eax to edx of one CPUID leaf, then the same with what the system does not support
    // taken out.
    typealias FeatureLeaf = @convention(c) (UInt32) -> UnsafePointer<UInt32>?
    guard let address = dlsym(dlopen(nil, RTLD_NOW), "__x86_get_cpuid_feature_leaf") else { return nil }
    let featureLeaf = unsafeBitCast(address, to: FeatureLeaf.self)
    guard let leaf1 = featureLeaf(0), let leaf7 = featureLeaf(1) else { return nil }
    let usableECX1 = leaf1[6], usableEBX7 = leaf7[5]
    let fma: UInt32 = 1 << 12, avx2: UInt32 = 1 << 5
    let avx512: UInt32 = 1 << 16 | 1 << 17 | 1 << 28 | 1 << 30 | 1 << 31  // F, DQ, CD, BW, VL
    guard usableECX1 & fma != 0, usableEBX7 & avx2 != 0 else { return nil }
    return usableEBX7 & avx512 == avx512 ? "SkylakeX" : "Haswell"
  }
}
