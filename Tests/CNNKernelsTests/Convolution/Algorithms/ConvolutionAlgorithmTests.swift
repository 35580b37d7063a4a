import CNNCore
import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

/// Which convolutions each algorithm accepts, why it refuses others, and which is taken.
struct ConvolutionAlgorithmTests {
  static let target = CodeTarget(.avx512, secondCacheByteCount: 1 << 20, lastCacheByteCount: 32 << 20)

  /// A request, and what an algorithm says to it: nil where it accepts it.
  struct Answer: Sendable {
    let algorithm, shape: String
    var input = ConvolutionInput.blocked
    var adjust: @Sendable (inout ConvolutionRequest) -> Void = { _ in }
    let refusal: String?

    func request() throws -> ConvolutionRequest {
      var request = ConvolutionRequest(
        try ConvolutionCase(shape).geometry, input: input, workers: Workers(count: 2))
      adjust(&request)
      return request
    }
  }

  private static let sameSize = "n1 h8 w8 ic16 oc16 kh3 kw3 pt1 pl1 pb1 pr1"
  private static let strided = "n1 h9 w9 ic16 oc16 kh3 kw3 sh2 sw2"
  private static let channelwise = "n1 h8 w8 ic16 oc16 kh3 kw3 pt1 pl1 pb1 pr1 g16"
  private static let stem = "n1 h32 w32 ic3 oc16 kh7 kw7 sh2 sw2 pt3 pl3 pb3 pr3"
  private static let stemOfFive = "n1 h33 w33 ic3 oc16 kh5 kw5 sh2 sw2 pt2 pl2 pb2 pr2"

  static let answers: [Answer] = [
    Answer(algorithm: "direct", shape: strided, refusal: nil),
    Answer(algorithm: "direct", shape: stem, input: .picture(.number), refusal: nil),
    Answer(
      algorithm: "direct", shape: sameSize, input: .padded(.init(top: 1, left: 1, bottom: 2, right: 1)), refusal: nil),
    Answer(algorithm: "direct", shape: "n1 h8 w8 ic16 oc32 kh3 kw3 g16", refusal: nil),
    Answer(
      algorithm: "direct", shape: channelwise, refusal: "every channel has a filter of its own, which is no product"),
    Answer(
      algorithm: "direct", shape: sameSize, input: .padded(.init(top: 1, left: 1, right: 1)),
      refusal: "the image's border is narrower than the padding"),
    Answer(
      algorithm: "direct", shape: sameSize, adjust: { $0.accumulatesSum = true },
      refusal: "products do not sum their results over the pixels"),
    Answer(
      algorithm: "direct", shape: "n1 h8 w8 ic64 oc64 g2",
      adjust: { $0.filterOrder = .exchanged(inputs: 32, taps: 1, chosen: [0]) },
      refusal: "the filter of groups is in an order of its own"),
    Answer(
      algorithm: "direct", shape: "n1 h8 w8 ic4 oc8 g2", input: .picture(.number),
      refusal: "the channels of a picture are in 2 groups"),

    Answer(algorithm: "winograd_f2", shape: sameSize, refusal: nil),
    Answer(algorithm: "winograd_f4", shape: sameSize, refusal: nil),
    Answer(
      algorithm: "winograd_f2", shape: strided, refusal: "the stride is 2x2; Winograd's transforms need 1x1"),
    Answer(
      algorithm: "winograd_f4", shape: strided, refusal: "the stride is 2x2; Winograd's transforms need 1x1"),
    Answer(
      algorithm: "winograd_f4", shape: "n1 h8 w8 ic16 oc16 kh3 kw1",
      refusal: "the filter is 3x1; Winograd's transforms need 3x3"),
    Answer(
      algorithm: "winograd_f4", shape: "n1 h8 w8 ic16 oc16 kh3 kw3 dh1 dw2",
      refusal: "the dilation is 1x2; Winograd's transforms need 1x1"),
    Answer(
      algorithm: "winograd_f4", shape: "n1 h8 w8 ic16 oc16 kh3 kw3 pl3",
      refusal: "the padding is 0 above and 3 on the left; Winograd's transforms need at most 2"),
    Answer(
      algorithm: "winograd_f4", shape: "n1 h8 w8 ic32 oc32 kh3 kw3 g2",
      refusal: "there are 2 groups; Winograd's transforms need one"),
    Answer(
      algorithm: "winograd_f4", shape: sameSize, input: .padded(.init(top: 1, left: 1, bottom: 1, right: 1)),
      refusal: "the image is not in blocks without a border"),
    Answer(
      algorithm: "winograd_f4", shape: sameSize, adjust: { $0.accumulatesSum = true },
      refusal: "transforms do not sum their results over the pixels"),
    Answer(
      algorithm: "winograd_f4", shape: "n1 h4 w4 ic16 oc16 kh3 kw3 pt1 pl1 pb1 pr1",
      adjust: { request in
        let phases = InputGradientPhase.all(input: 8, output: 4, kernel: 2, stride: 2, dilation: 1, padding: 0) ?? []
        let larger = BlockedTensor(images: 1, height: 8, width: 8, channels: 16)
        request.places = phases.first.map { PixelGrid(larger, rows: $0, columns: $0) }
      }, refusal: "the results go to some of the pixels only"),

    Answer(algorithm: "phases_winograd_f3", shape: stem, input: .picture(.number), refusal: nil),
    Answer(algorithm: "phases_winograd_f4", shape: stemOfFive, input: .picture(.number), refusal: nil),
    Answer(
      algorithm: "phases_winograd_f4", shape: stem, input: .picture(.number),
      refusal: "the phases meet 4x4 taps, not 3x3"),
    Answer(algorithm: "phases_winograd_f3", shape: stem, refusal: "the image is no picture"),
    Answer(
      algorithm: "phases_winograd_f3", shape: "n1 h32 w32 ic3 oc16 kh7 kw7", input: .picture(.number),
      refusal: "the stride is 1x1; four phases need 2x2"),
    Answer(
      algorithm: "phases_winograd_f4", shape: "n1 h32 w32 ic3 oc16 kh3 kw3 sh2 sw2", input: .picture(.number),
      refusal: "the filter is 3x3; phases pay from 5x5 on"),
    Answer(
      algorithm: "phases_winograd_f3", shape: "n1 h32 w32 ic5 oc16 kh7 kw7 sh2 sw2 pt3 pl3 pb3 pr3",
      input: .picture(.number), refusal: "the picture has 5 channels; four phases of 4 fit a block"),
    Answer(
      algorithm: "phases_winograd_f3", shape: stem, input: .picture(.number),
      adjust: { $0.filterOrder = .forward(inputs: 3, taps: 49) },
      refusal: "the filter is not in the order of the parameter"),

    Answer(algorithm: "depthwise", shape: channelwise, adjust: { $0.accumulatesSum = true }, refusal: nil),
    Answer(algorithm: "depthwise", shape: sameSize, refusal: "not every channel has a filter of its own"),
    Answer(
      algorithm: "depthwise", shape: channelwise, input: .padded(.init(top: 1, left: 1, bottom: 1, right: 1)),
      refusal: "the image is not in blocks without a border"),
    Answer(
      algorithm: "depthwise", shape: channelwise, adjust: { $0.epilogue = Epilogue(addsResidual: true) },
      refusal: "windows add no residual"),
    // The taps lie above and below the only row.
    Answer(
      algorithm: "depthwise", shape: "n1 h1 w8 ic16 oc16 kh2 kw2 dh2 dw1 pt1 pb1 g16",
      refusal: "some windows hold no row of the image"),
    Answer(
      algorithm: "depthwise", shape: "n1 h4 w400 ic16 oc16 kh2 kw2 dh1 dw300 g16",
      refusal: "the window's columns, stride or dilation, or the result's columns, are too many"),
  ]

  @Test(arguments: answers) func requestsAreAcceptedOrRefusedWithAReason(_ answer: Answer) throws {
    let request = try answer.request()
    let algorithm = try #require(ConvolutionAlgorithms.all.first { $0.name == answer.algorithm })
    #expect(algorithm.refusal(request, Self.target) == answer.refusal, "\(answer)")
    let library = KernelLibrary(Self.target)
    if let reason = answer.refusal {
      #expect(
        throws: CNNError(
          .invalidArgument, "a convolution cannot be computed by the algorithm \(answer.algorithm): \(reason)")
      ) { try algorithm.plan(request, library: library) }
    } else {
      #expect(try algorithm.plan(request, library: library).algorithm == answer.algorithm)
      let cycles = algorithm.cycles(request, Self.target)
      #expect(cycles > 0 && cycles.isFinite)
    }
  }

  /// Each algorithm is among those that are asked, both for what it accepts and for what it refuses.
  @Test func everyAlgorithmIsAsked() {
    for algorithm in ConvolutionAlgorithms.all {
      let answers = Self.answers.filter { $0.algorithm == algorithm.name }
      #expect(answers.contains { $0.refusal == nil } && answers.contains { $0.refusal != nil }, "\(algorithm.name)")
    }
    #expect(Set(ConvolutionAlgorithms.all.map(\.name)).count == ConvolutionAlgorithms.all.count)
  }

  @Test(arguments: [
    ("n1 h56 w56 ic64 oc64 kh3 kw3 pt1 pl1 pb1 pr1", ConvolutionInput.blocked, "winograd_f4"),
    ("n1 h56 w56 ic64 oc256", .blocked, "direct"),
    ("n8 h56 w56 ic128 oc128 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1", .blocked, "direct"),
    // Of a low image less of larger tiles is of use.
    ("n1 h2 w64 ic17 oc96 kh3 kw3 pt1 pl1 pb1 pr1", .blocked, "winograd_f2"),
    ("n1 h1 w64 ic32 oc112 kh3 kw3 pt1 pl1 pb1 pr1", .blocked, "direct"),
    ("n1 h56 w56 ic64 oc64 kh3 kw3 pt1 pl1 pb1 pr1", .padded(.init(top: 1, left: 1, bottom: 1, right: 1)), "direct"),
    ("n1 h224 w224 ic3 oc64 kh7 kw7 sh2 sw2 pt3 pl3 pb3 pr3", .picture(.number), "phases_winograd_f3"),
    ("n1 h224 w224 ic3 oc32 kh5 kw5 sh2 sw2 pt2 pl2 pb2 pr2", .picture(.number), "phases_winograd_f4"),
    ("n1 h224 w224 ic3 oc32 kh3 kw3 sh2 sw2 pt1 pl1 pb1 pr1", .picture(.number), "direct"),
    ("n1 h14 w14 ic96 oc96 kh5 kw5 pt2 pl2 pb2 pr2 g96", .blocked, "depthwise"),
    ("n1 h14 w14 ic96 oc96 kh3 kw3 pt1 pl1 pb1 pr1 g3", .blocked, "direct"),
  ])
  func theCheapestIsTaken(_ shape: String, _ input: ConvolutionInput, _ expected: String) throws {
    let request = ConvolutionRequest(
      try ConvolutionCase(shape).geometry, input: input, workers: Workers(count: 2))
    #expect(ConvolutionAlgorithms.best(request, Self.target)?.name == expected)
    #expect(try ConvolutionAlgorithms.plan(request, library: KernelLibrary(Self.target)).algorithm == expected)
  }

  @Test func whatNoneAcceptsIsRefusedWithAllReasons() throws {
    let geometry = try ConvolutionCase("n1 h4 w400 ic16 oc16 kh2 kw2 dh1 dw300 g16").geometry
    let request = ConvolutionRequest(geometry, workers: Workers(count: 2))
    #expect(ConvolutionAlgorithms.best(request, Self.target) == nil)
    let error = #expect(throws: CNNError.self) {
      try ConvolutionAlgorithms.plan(request, library: KernelLibrary(Self.target))
    }
    let message = try #require(error?.message)
    for algorithm in ConvolutionAlgorithms.all {
      let reason = try #require(algorithm.refusal(request, Self.target))
      #expect(message.contains("\(algorithm.name): \(reason)"))
    }
  }
}
