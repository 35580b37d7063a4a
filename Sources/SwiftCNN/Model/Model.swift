import CNNCompiler
import CNNCore
import CNNGraph

/// A network with its parameters: what is trained, saved, loaded and asked for predictions.
///
/// Predictions may run on several threads at once; whatever changes the model waits until it has it alone.
public final class Model: @unchecked Sendable {
  /// The name it was built under, as the registry spells it.
  public let name: String

  /// The locks of all memory in which parameters lie; held too for what belongs to this model alone.
  let lock: LockSet
  let plans = PlanCache()
  var parameters: ParameterStorage
  var network: Graph
  var pixelNormalization: Compiler.PixelNormalization
  var training: TrainingState?
  /// What predictions and evaluations are to compute in.
  var chosenPrecision = PrecisionPolicy.float32
  /// The parameters behind the network's last feature map, which files of weights have and it has not.
  var cutOff: [Parameter] = []
  /// What to do for the weights that its name promises; nil where it promises none, or has them.
  private(set) var missingWeights: String?
  /// What the last file of weights had.
  var weightsReport: WeightsReport?
  /// How the foreign file was read that this model was made of.
  var knownReport: ImportReport?
  /// What is done to pictures; nil for the builder's own rule.
  var chosenPreprocessing: Preprocessing?
  var knownClasses = ClassNames.byDefault
  /// Texts of the caller's that go with the model.
  var metadata: [String: String] = [:]
  /// What the images were that it was trained on; nil where that is not known.
  var trainedOn: InputValues?
  /// How it was made of one of floats, and the version of the parameters of which its noise was measured.
  var quantization: (record: QuantizationRecord, noiseVersion: Int)?
  /// Who teaches the model; nil where nobody does.
  let distillation: Distillation?
  /// What pruning has made of it; nil where it was not pruned.
  var pruning: PruningReport?
  /// What the compression that made it has found; nil where none did.
  var compression: CompressionReport?
  let warnings = InputWarnings()

  /// Builds a model of the registry by name, with random weights or those of a file.
  /// - Throws: `.unknownName` with the nearest name, or what does not fit in the options.
  public convenience init(_ name: String, options: ModelOptions = ModelOptions()) throws(CNNError) {
    let variant = try ModelRegistry.variant(name)
    let whole = try ModelRegistry.graph(variant, options)
    let graph = try options.featuresOnly ? whole.removingDeadNodes().removingDeadParameters() : whole
    let pixels = graph.type(of: graph.inputs[0].value).shape.last == 3 ? variant.pixels : nil
    try self.init(
      uninitialized: graph, name: variant.name, mean: options.mean ?? pixels?.mean,
      deviation: options.deviation ?? pixels?.deviation)
    if TimmName(name).tag != nil, graph.shape(of: graph.inputs[0].value).last == 3 {
      chosenPreprocessing = Preprocessing(of: variant, lockedInputShape)
    }
    cutOff = Array(whole.parameters.dropFirst(graph.parameters.count))
    chosenPrecision = options.precision
    try setPictureOptions(preprocessing: options.preprocessing, classNames: options.classNames)
    if let weights = options.weights {
      let report = try loadWeights(from: weights)
      let fresh = report.otherClasses == nil ? [] : WeightsMatch.classifier(of: network)
      parameters.initialize(seed: options.seed) { fresh.contains($0.name) }
    } else {
      missingWeights = TimmName(name).advice(for: variant)
      parameters.initialize(seed: options.seed)
    }
  }

  /// A model of any graph; its parameters are drawn from `seed`. With several outputs it only predicts.
  /// - Parameters:
  ///   - graph: the network, with an output at least.
  ///   - name: what the model is called.
  ///   - seed: what the parameters are drawn from.
  ///   - mean: of uint8 pixels, one per channel of the first image among the inputs; nil for ImageNet's with three
  ///     channels, else 0.
  ///   - deviation: as `mean`; nil for ImageNet's, else 1.
  /// - Throws: `.invalidArgument` unless the graph has an input and an output.
  public convenience init(
    _ graph: Graph, name: String, seed: UInt64 = 0, mean: [Double]? = nil, deviation: [Double]? = nil
  ) throws(CNNError) {
    try self.init(uninitialized: graph, name: name, mean: mean, deviation: deviation)
    parameters.initialize(seed: seed)
  }

  /// A model whose parameters are all zero, to be read from a file.
  /// - Parameters:
  ///   - shared: by name, parameters of other models to be used instead of new ones.
  ///   - distillation: who teaches the model.
  init(
    uninitialized graph: Graph, name: String, mean: [Double]?, deviation: [Double]?,
    sharing shared: [String: ParameterTensor] = [:], distillation: Distillation? = nil
  ) throws(CNNError) {
    guard let pixelInput = graph.pixelInput, !graph.outputs.isEmpty else {
      throw CNNError(
        .invalidArgument,
        "the graph has \(graph.inputs.count) inputs and \(graph.outputs.count) outputs; expected at least one of each")
    }
    guard let channels = graph.shape(of: pixelInput.value).last ?? 1 else {
      throw CNNError(.shapeMismatch, "the last axis of '\(pixelInput.name)', its channels, has no fixed size")
    }
    // The default mean and deviation are arrays of this size.
    guard channels <= 1 << 22 else {
      throw CNNError(.outOfMemory, "the input has \(channels) channels; expected \(1 << 22) at most")
    }
    // More than a model file can hold.
    guard graph.valueCount <= 1 << 16 else {
      throw CNNError(.outOfMemory, "the network has \(graph.valueCount) tensors; expected \(1 << 16) at most")
    }
    self.name = name
    network = graph
    // Deng et al. 2009's images; the constants every torchvision model uses.
    let isColor = channels == 3
    pixelNormalization = Compiler.PixelNormalization(
      mean: mean ?? (isColor ? [0.485, 0.456, 0.406] : Array(repeating: 0, count: channels)),
      deviation: deviation ?? (isColor ? [0.229, 0.224, 0.225] : Array(repeating: 1, count: channels)))
    parameters = try ParameterStorage(graph.parameters, sharing: shared)
    self.distillation = distillation
    lock = Self.lock(of: parameters, distillation)
    try Self.check(pixelNormalization, channels: channels)
  }

  /// A copy that shares nothing.
  init(copying other: Model) throws(CNNError) {
    (name, network, pixelNormalization) = (other.name, other.network, other.pixelNormalization)
    parameters = try other.parameters.copy()
    distillation = try other.distillation?.copy(for: parameters)
    lock = Self.lock(of: parameters, distillation)
    training = try other.training?.copy(for: parameters)
    takeDescription(of: other)
  }

  /// The locks of a model's parameters, and of its teacher's, which predicts while the model is trained.
  private static func lock(of parameters: ParameterStorage, _ distillation: Distillation?) -> LockSet {
    let own = LockSet(parameters.blocks.map(\.lock))
    return distillation.map { own.union($0.teacher.lock) } ?? own
  }

  /// Takes what belongs to another model beside its network and its parameters.
  func takeDescription(of other: Model) {
    (chosenPreprocessing, knownClasses, chosenPrecision) = (
      other.chosenPreprocessing, other.knownClasses, other.chosenPrecision
    )
    (metadata, trainedOn, cutOff) = (other.metadata, other.trainedOn, other.cutOff)
    (pruning, compression) = (other.pruning, other.compression)
    setQuantization(other.knownQuantization)
  }

  /// Forgets what the Python package has written of the layers that it made the network of: the network is another now.
  func forgetLayers() { metadata["swiftcnn.python"] = nil }

  /// Throws in a process that was forked while another thread was changing the model: it may be half changed there.
  /// - Throws: `.invalidState`.
  package func requireWhole() throws(CNNError) { try lock.requireWhole() }

  /// An independent model with the same network, parameters and training state.
  public func copy() throws(CNNError) -> Model {
    try lock.alone { () throws(CNNError) in try Model(copying: self) }
  }

  private static func check(_ normalization: Compiler.PixelNormalization, channels: Int) throws(CNNError) {
    let (mean, deviation) = (normalization.mean, normalization.deviation)
    guard mean.count == channels, deviation.count == channels, mean.allSatisfy(\.isFinite),
      deviation.allSatisfy({ $0.isFinite && $0 > 0 })
    else {
      throw CNNError(
        .invalidArgument,
        "mean is \(mean) and \(option: "std", swift: "deviation") \(deviation); expected \(channels) finite numbers each, "
          + "\(option: "std", swift: "deviation") above 0")
    }
  }

  /// The mean and standard deviation of uint8 pixels, one per channel, in units of the full range 0...1. Of several
  /// inputs they are those of the first image, and of every other with as many channels.
  public var normalization: (mean: [Double], deviation: [Double]) {
    lock.reading { (pixelNormalization.mean, pixelNormalization.deviation) }
  }

  /// Sets mean and standard deviation of uint8 pixels. Where they are others, what the model was trained on is forgotten:
  /// pixels may become that now.
  /// - Throws: `.invalidArgument` unless there is one of each per channel and the deviations are above 0.
  public func setNormalization(mean: [Double], deviation: [Double]) throws(CNNError) {
    let new = Compiler.PixelNormalization(mean: mean, deviation: deviation)
    try Self.check(new, channels: normalization.mean.count)
    lock.writing {
      guard new.mean != pixelNormalization.mean || new.deviation != pixelNormalization.deviation else { return }
      (pixelNormalization, trainedOn) = (new, nil)
      plans.removeAll()
    }
  }

  /// The shape of the input without the batch, as `[height, width, channels]`; nil where any size will do. Of several
  /// inputs, see `inputShapes`, it is the first.
  public var inputShape: [Int?] { lock.reading { lockedInputShape } }

  var lockedInputShape: [Int?] { Array(network.shape(of: network.inputs[0].value).dropFirst()) }

  /// The network, as it was built.
  public var graph: Graph { lock.reading { networkWithFlags } }

  /// The network with the parameters marked that are trained now, and their masks: a model that shares them may have changed
  /// those.
  var networkWithFlags: Graph {
    let tensors = parameters.tensors
    func agrees(_ index: Int) -> Bool {
      let parameter = network.parameters[index]
      return parameter.isTrainable == tensors[index].isTrainable && parameter.mask == tensors[index].mask
    }
    if network.parameters.indices.allSatisfy(agrees) { return network }
    var result = network
    result.setTrainable { parameter in
      parameters.position(of: parameter.name).map { tensors[$0].isTrainable } ?? parameter.isTrainable
    }
    result.setMasks { parameter in parameters.position(of: parameter.name).flatMap { tensors[$0].mask } }
    return result
  }

  /// Makes plans anew where other parameters are trained now than when they were made. The caller has the model alone.
  func updateTrainability() {
    let tensors = parameters.tensors
    if network.parameters.indices.contains(where: { network.parameters[$0].isTrainable != tensors[$0].isTrainable }) {
      network = networkWithFlags
      plans.removeAll()
    }
  }
}
