// swift-tools-version: 6.1
import PackageDescription

// The floors of the house, lowest first. Each target imports only those above it in this list, and the compiler
// enforces it. See README.md, "How it is built".
let package = Package(
  name: "SwiftCNN",
  products: [
    .library(name: "SwiftCNN", targets: ["SwiftCNN"]),
    .library(name: "SwiftCNNFoundation", targets: ["SwiftCNNFoundation"]),
    .library(name: "SwiftCNNONNX", targets: ["SwiftCNNONNX"]),
    .library(name: "SwiftCNNABI", type: .static, targets: ["SwiftCNNABI"]),
    .library(name: "CNNONNXPlugin", type: .static, targets: ["CNNONNXPlugin"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: [])
  ],
  targets: [
    .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CImageCodecs"),
    .systemLibrary(name: "CSwiftCNN", path: "include"),
    .target(name: "CNNCore"),
    .target(name: "CX86Debugger"),
    .target(name: "X86Assembler", dependencies: ["CNNCore", "CX86Debugger"]),
    .target(name: "CNNRuntime", dependencies: ["CNNCore", "X86Assembler", "COpenBLAS"]),
    .target(name: "CNNKernels", dependencies: ["CNNCore", "CNNRuntime", "X86Assembler", "COpenBLAS"]),
    .target(name: "CNNPictures", dependencies: ["CNNCore", "CNNRuntime", "CImageCodecs"]),
    .target(name: "CNNGraph", dependencies: ["CNNCore"]),
    .target(name: "CNNCompiler", dependencies: ["CNNCore", "CNNGraph", "CNNRuntime", "CNNKernels"]),
    .target(
      name: "SwiftCNN",
      dependencies: ["CNNCore", "CNNRuntime", "CNNKernels", "CNNPictures", "CNNGraph", "CNNCompiler"]),
    .target(name: "SwiftCNNABI", dependencies: ["SwiftCNN", "CNNPictures", "CSwiftCNN", "CONNXPlugin"]),
    .systemLibrary(name: "CONNXPlugin"),
    // Foundation's URLs, data and errors stand beside the library, which needs none of them.
    .target(name: "SwiftCNNFoundation", dependencies: ["SwiftCNN"]),
    // ONNX stands beside the library: its files are read with Foundation, which nothing else needs.
    .target(
      name: "CNNONNX",
      dependencies: ["CNNCore", "CNNGraph", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
      exclude: ["Schema/onnx.proto"]),
    .target(name: "SwiftCNNONNX", dependencies: ["SwiftCNN", "CNNONNX"]),
    .target(name: "CNNONNXPlugin", dependencies: ["CNNONNX", "CONNXPlugin"]),
    .testTarget(name: "CNNCoreTests", dependencies: ["CNNCore"]),
    .testTarget(name: "X86AssemblerTests", dependencies: ["X86Assembler"], exclude: ["encodings.txt"]),
    .testTarget(name: "CNNRuntimeTests", dependencies: ["CNNRuntime", "X86Assembler"]),
    .target(name: "CTileEmulator", path: "Tests/CTileEmulator"),
    .target(
      name: "TileSupport", dependencies: ["CTileEmulator", "CNNRuntime", "X86Assembler"], path: "Tests/TileSupport"),
    .testTarget(name: "CNNKernelsTests", dependencies: ["CNNKernels", "X86Assembler", "TileSupport"]),
    .testTarget(name: "CNNPicturesTests", dependencies: ["CNNPictures"]),
    .testTarget(name: "CNNGraphTests", dependencies: ["CNNGraph"]),
    .testTarget(name: "CNNCompilerTests", dependencies: ["CNNCompiler", "X86Assembler", "TileSupport"]),
    .testTarget(
      name: "SwiftCNNTests", dependencies: ["SwiftCNN", "X86Assembler", "TileSupport"], exclude: ["generated_code.txt"]),
    .testTarget(name: "SwiftCNNFoundationTests", dependencies: ["SwiftCNNFoundation"]),
    .testTarget(name: "CNNONNXTests", dependencies: ["SwiftCNNONNX"]),
  ],
  swiftLanguageModes: [.v6]
)
