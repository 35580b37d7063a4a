// swift-tools-version: 6.1
import PackageDescription

// The floors of the house, lowest first. Each target imports only those above it in this list, and the compiler
// enforces it. See README.md, "How it is built".
let package = Package(
  name: "SwiftCNN",
  products: [
    .library(name: "SwiftCNN", targets: ["SwiftCNN"]),
    .library(name: "SwiftCNNABI", type: .static, targets: ["SwiftCNNABI"]),
  ],
  targets: [
    .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CImageCodecs"),
    .systemLibrary(name: "CSwiftCNN", path: "include"),
    .target(name: "CNNCore"),
    .target(name: "CX86Debugger"),
    .target(name: "X86Assembler", dependencies: ["CNNCore", "CX86Debugger"]),
    .target(name: "CNNKernels", dependencies: ["CNNCore", "X86Assembler", "COpenBLAS"]),
    .target(name: "CNNPictures", dependencies: ["CNNCore", "CNNKernels", "CImageCodecs"]),
    .target(name: "CNNGraph", dependencies: ["CNNCore"]),
    .target(name: "CNNCompiler", dependencies: ["CNNCore", "CNNGraph", "CNNKernels"]),
    .target(name: "SwiftCNN", dependencies: ["CNNCore", "CNNKernels", "CNNPictures", "CNNGraph", "CNNCompiler"]),
    .target(name: "SwiftCNNABI", dependencies: ["SwiftCNN", "CNNPictures", "CSwiftCNN"]),
    .testTarget(name: "CNNCoreTests", dependencies: ["CNNCore"]),
    .testTarget(name: "X86AssemblerTests", dependencies: ["X86Assembler"], exclude: ["encodings.txt"]),
    .testTarget(name: "CNNKernelsTests", dependencies: ["CNNKernels", "X86Assembler"]),
    .testTarget(name: "CNNPicturesTests", dependencies: ["CNNPictures"]),
    .testTarget(name: "CNNGraphTests", dependencies: ["CNNGraph"]),
    .testTarget(name: "CNNCompilerTests", dependencies: ["CNNCompiler", "X86Assembler"]),
    .testTarget(name: "SwiftCNNTests", dependencies: ["SwiftCNN"]),
  ],
  swiftLanguageModes: [.v6]
)
