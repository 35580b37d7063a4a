import CNNCore
import CNNPictures
import CNNRuntime

/// What this process computes with: the processor, the threads, the libraries of the system; and what stands in the way.
public struct SystemReport: Sendable {
  /// A library that is opened when it is first needed.
  public struct Library: Sendable, Equatable {
    /// What it is called, as `"OpenBLAS"`.
    public let name: String
    /// What is known of the one that was found; nil where there is none.
    public let found: String?
    /// What to do where there is none.
    public let advice: String

    /// A library and what became of the attempt to open it.
    public init(name: String, found: String?, advice: String) {
      (self.name, self.found, self.advice) = (name, found, advice)
    }
  }

  /// What the processor's maker calls it; empty if not known.
  public let processor: String
  /// Which of the instructions that kernels are made of the processor has.
  public let features: [String]
  /// The sizes of the processor's data caches in bytes, from the first level to the third; 0 where one is not known.
  public let cacheByteCounts: [Int]
  /// What kernels are written in, by its name as of `SWIFTCNN_ISA`, which stands for those before it as well. Tiles that the
  /// system refuses are not among it.
  public let instructionSet: String
  /// Why the system refuses the tiles (AMX) that kernels would use; nil where it grants them, and where none would.
  public let tileRefusal: String?
  /// Whether kernels use tiles.
  public var usesTiles: Bool { tileRefusal == nil && HostProcessor.usesTiles }
  /// How many threads a computation is divided over.
  public let threadCount: Int
  /// Whether worker threads are bound to one processor each.
  public let pinsThreads: Bool
  /// Whether the system gives memory for generated code.
  public let hasExecutableMemory: Bool
  /// The libraries that may be there or not.
  public var libraries: [Library]
  /// What makes computations slow or impossible, and what to do: a sentence each.
  public var problems: [String]

  /// Looks at this process and its machine, and opens the libraries.
  public init() { self.init(HostProcessor.tileRefusal) }

  package init(_ tileRefusal: String?) {
    // Asks the processor by generated code, so whether there is memory for such code is known after it.
    (processor, features) = (HostProcessor.name, HostProcessor.features)
    cacheByteCounts = HostProcessor.cacheByteCounts
    self.tileRefusal = tileRefusal
    instructionSet = tileRefusal == nil ? HostProcessor.instructionSet : HostProcessor.instructionSetWithoutTiles
    threadCount = Threads.count
    pinsThreads = Threads.pins
    hasExecutableMemory = Computing.slowReason == nil
    libraries = [Self.openBLAS] + PictureFormat.allCases.map(Self.library)
    problems = Self.obstacles
  }

  private static var openBLAS: Library {
    let advice =
      OpenBLAS.isDeclined
      ? "SWIFTCNN_BLAS=none leaves it out"
      : "dense layers are slower without it: install it (Debian's package libopenblas0)"
    return Library(name: "OpenBLAS", found: OpenBLAS.kernelName.map { "with kernels for \($0)" }, advice: advice)
  }

  private static func library(of format: PictureFormat) -> Library {
    do throws(CNNError) {
      try format.openLibrary()
      return Library(name: format.rawValue, found: format.libraryName, advice: "")
    } catch {
      return Library(name: format.rawValue, found: nil, advice: error.message)
    }
  }

  private static var obstacles: [String] {
    if let reason = Computing.slowReason { return ["\(reason)"] }
    let used = HostProcessor.instructionSet, best = HostProcessor.bestInstructionSet
    if used != best {
      return ["SWIFTCNN_ISA limits the kernels to \(used), and the processor has \(best): unset it"]
    }
    guard used == "portable" else { return [] }
    return ["portable kernels are used, which are many times slower: AVX2 and FMA are not to be had on this processor"]
  }
}

extension SystemReport {
  /// The report as JSON.
  package var json: JSONObject {
    var object = JSONObject()
    object["processor"] = .string(processor)
    object["features"] = .array(features.map(JSON.string))
    object["caches"] = .array(cacheByteCounts.map { .integer(Int64($0)) })
    object["instruction_set"] = .string(instructionSet)
    object["tiles"] = .bool(usesTiles)
    object["tile_refusal"] = tileRefusal.map(JSON.string) ?? .null
    object["threads"] = .integer(Int64(threadCount))
    object["thread_pinning"] = .bool(pinsThreads)
    object["executable_memory"] = .bool(hasExecutableMemory)
    var libraries = JSONObject()
    for library in self.libraries { libraries[library.name] = library.found.map(JSON.string) ?? .null }
    object["libraries"] = .object(libraries)
    object["problems"] = .array(problems.map(JSON.string))
    return object
  }
}

extension SystemReport: CustomStringConvertible {
  /// The report as a table.
  public var description: String {
    let caches = cacheByteCounts.map { "\($0 >> 10)" }.joined(separator: ", ")
    var rows = [
      ("processor", processor.isEmpty ? "not known" : processor),
      ("features", features.isEmpty ? "none that is used" : features.joined(separator: " ")),
      ("data caches", "\(caches) KiB"),
      ("kernels", instructionSet == "portable" ? "portable" : "generated for \(instructionSet)"),
      ("tiles", tileRefusal.map { "refused: \($0)" } ?? (usesTiles ? "granted" : "none that is used")),
      ("threads", "\(threadCount)\(pinsThreads ? ", bound to a processor each" : ", not bound to processors")"),
      ("code memory", hasExecutableMemory ? "granted" : "refused"),
    ]
    rows += libraries.map { ($0.name, $0.found ?? "not found: \($0.advice)") }
    rows += problems.isEmpty ? [("problems", "none")] : problems.map { ("problem", $0) }
    return rows.map { $0.0 + String(repeating: " ", count: max(1, 13 - $0.0.utf8.count)) + $0.1 }
      .joined(separator: "\n")
  }
}
