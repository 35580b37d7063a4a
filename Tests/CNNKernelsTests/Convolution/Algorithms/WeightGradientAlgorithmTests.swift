import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Which gradients of filters each algorithm accepts, why it refuses others, and which is taken.
struct WeightGradientAlgorithmTests {
  private static let target = CodeTarget(
    [.avx512BF16, .amxBF16], secondCacheByteCount: 1 << 20, lastCacheByteCount: 32 << 20, bfloat16Rate: 1)
  private static let sameSize = "n1 h8 w8 ic16 oc16 kh3 kw3 pt1 pl1 pb1 pr1"
  private static let strided = "n1 h9 w9 ic16 oc16 kh3 kw3 sh2 sw2"
  private static let channelwise = "n1 h8 w8 ic16 oc16 kh3 kw3 pt1 pl1 pb1 pr1 g16"
  private static let stem = "n1 h32 w32 ic3 oc16 kh7 kw7 sh2 sw2 pt3 pl3 pb3 pr3"
  private static let stemOfFive = "n1 h33 w33 ic3 oc16 kh5 kw5 sh2 sw2 pt2 pl2 pb2 pr2"

  /// What an algorithm says to a request: nil where it accepts it.
  struct Answer: Sendable {
    let algorithm, shape: String
    var input = ConvolutionInput.blocked
    var elements: (input: ElementType, gradient: ElementType) = (.float32, .float32)
    let refusal: String?
  }

  private static let algorithms =
    WeightGradientAlgorithms.all + WeightGradientAlgorithms.ofBFloat16.filter(\.usesTiles)

  static let answers = [
    Answer(algorithm: "direct", shape: strided, refusal: nil),
    Answer(
      algorithm: "direct", shape: channelwise, refusal: "every channel has a filter of its own, which is no product"),
    Answer(
      algorithm: "direct", shape: stem, input: .picture(.number),
      refusal: "the image is not in blocks without a border"),
    Answer(
      algorithm: "direct", shape: sameSize, input: .padded(.init(top: 1, left: 1, bottom: 1, right: 1)),
      refusal: "the image is not in blocks without a border"),
    Answer(algorithm: "direct", shape: strided, elements: (.bfloat16, .bfloat16), refusal: nil),
    Answer(
      algorithm: "direct", shape: strided, elements: (.bfloat16, .float32),
      refusal: "one operand is bfloat16 and the other one float32"),
    Answer(algorithm: "tiles", shape: strided, elements: (.bfloat16, .bfloat16), refusal: nil),
    Answer(algorithm: "tiles", shape: strided, refusal: "it reads bfloat16 alone"),
    Answer(
      algorithm: "tiles", shape: channelwise, elements: (.bfloat16, .bfloat16),
      refusal: "every channel has a filter of its own, which is no product"),
    Answer(algorithm: "direct_picture", shape: stem, input: .picture(.number), refusal: nil),
    Answer(algorithm: "direct_picture", shape: stem, refusal: "the image is no picture"),
    Answer(
      algorithm: "direct_picture", shape: "n1 h8 w8 ic4 oc8 g2", input: .picture(.number),
      refusal: "the channels of a picture are in 2 groups"),
    Answer(algorithm: "winograd_f2", shape: sameSize, refusal: nil),
    Answer(algorithm: "winograd_f4", shape: sameSize, refusal: nil),
    Answer(algorithm: "winograd_f4", shape: sameSize, elements: (.bfloat16, .float32), refusal: nil),
    Answer(
      algorithm: "phases_winograd_f3", shape: stem, input: .picture(.number), elements: (.float32, .bfloat16),
      refusal: nil),
    Answer(algorithm: "winograd_f2", shape: strided, refusal: "the stride is 2x2; Winograd's transforms need 1x1"),
    Answer(algorithm: "winograd_f4", shape: strided, refusal: "the stride is 2x2; Winograd's transforms need 1x1"),
    Answer(algorithm: "phases_winograd_f3", shape: stem, input: .picture(.number), refusal: nil),
    Answer(algorithm: "phases_winograd_f4", shape: stemOfFive, input: .picture(.number), refusal: nil),
    Answer(
      algorithm: "phases_winograd_f3", shape: stemOfFive, input: .picture(.number),
      refusal: "the phases meet 3x3 taps, not 4x4"),
    Answer(algorithm: "phases_winograd_f4", shape: stemOfFive, refusal: "the image is no picture"),
    Answer(algorithm: "depthwise", shape: channelwise, refusal: nil),
    Answer(algorithm: "depthwise", shape: sameSize, refusal: "not every channel has a filter of its own"),
  ]

  @Test(arguments: answers) func requestsAreAcceptedOrRefusedWithAReason(_ answer: Answer) throws {
    let request = WeightGradientRequest(
      try ConvolutionCase(answer.shape).geometry, input: answer.input, inputElement: answer.elements.input,
      gradientElement: answer.elements.gradient, workers: Workers(count: 2))
    let algorithm = try #require(Self.algorithms.first { $0.name == answer.algorithm })
    #expect(algorithm.refusal(request, Self.target) == answer.refusal, "\(answer)")
    let library = KernelLibrary(Self.target)
    if let reason = answer.refusal {
      #expect(
        throws: CNNError(
          .invalidArgument, "a filter's gradient cannot be computed by the algorithm \(answer.algorithm): \(reason)")
      ) { try algorithm.plan(request, library: library) }
    } else {
      #expect(try algorithm.plan(request, library: library).algorithm == answer.algorithm)
      let cycles = algorithm.cycles(request, Self.target)
      #expect(cycles > 0 && cycles.isFinite)
    }
  }

  /// Each algorithm is among those that are asked, both for what it accepts and for what it refuses.
  @Test func everyAlgorithmIsAsked() {
    for algorithm in Self.algorithms {
      let answers = Self.answers.filter { $0.algorithm == algorithm.name }
      #expect(answers.contains { $0.refusal == nil } && answers.contains { $0.refusal != nil }, "\(algorithm.name)")
    }
    #expect(Set(WeightGradientAlgorithms.all.map(\.name)).count == WeightGradientAlgorithms.all.count)
  }

  @Test(arguments: [
    ("n8 h56 w56 ic64 oc64 kh3 kw3 pt1 pl1 pb1 pr1", ConvolutionInput.blocked, "winograd_f4"),
    ("n8 h56 w56 ic64 oc256", .blocked, "direct"),
    ("n1 h1 w1 ic256 oc256 kh3 kw3 pt1 pl1 pb1 pr1", .blocked, "direct"),
    ("n8 h224 w224 ic3 oc64 kh7 kw7 sh2 sw2 pt3 pl3 pb3 pr3", .picture(.number), "phases_winograd_f3"),
    ("n8 h224 w224 ic3 oc32 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1", .picture(.number), "direct_picture"),
    ("n8 h14 w14 ic96 oc96 kh5 kw5 pt2 pl2 pb2 pr2 g96", .blocked, "depthwise"),
    ("n8 h14 w14 ic96 oc96 kh3 kw3 pt1 pl1 pb1 pr1 g3", .blocked, "direct"),
  ])
  func theCheapestIsTaken(_ shape: String, _ input: ConvolutionInput, _ expected: String) throws {
    let request = WeightGradientRequest(
      try ConvolutionCase(shape).geometry, input: input, workers: Workers(count: 2))
    #expect(WeightGradientAlgorithms.best(request, Self.target)?.name == expected)
  }

  @Test func whatNoneAcceptsIsRefusedWithAllReasons() throws {
    let geometry = try ConvolutionCase("n1 h8 w8 ic4 oc4 g4").geometry
    let request = WeightGradientRequest(geometry, input: .picture(.number), workers: Workers(count: 2))
    let error = #expect(throws: CNNError.self) {
      try WeightGradientAlgorithms.plan(request, library: KernelLibrary(Self.target))
    }
    let message = try #require(error?.message)
    for algorithm in WeightGradientAlgorithms.all {
      let reason = try #require(algorithm.refusal(request, Self.target))
      #expect(message.contains("\(algorithm.name): \(reason)"))
    }
  }
}
