import CNNCore

/// One of the ways in which a network learns of another, its teacher, with its constants and its weight in the loss.
public struct DistillationTerm: Sendable, Equatable {
  /// What is made alike.
  public enum Method: String, Sendable, CaseIterable {
    /// The probabilities of the classes at a temperature (Hinton et al. 2015, section 2).
    case softTargets = "soft_targets"
    /// The same in two parts, each with its weight: the label against all others, and these among themselves (Zhao et al.
    /// 2022, equation 7).
    case decoupled
    /// What two layers give, one of each network, the student's after a learned projection (Romero et al. 2015, section
    /// 2.2).
    case hint
    /// Where two layers look: their sums of squares over the channels (Zagoruyko and Komodakis 2017, section 3.1).
    case attentionTransfer = "attention_transfer"

    /// What it is, in a sentence.
    public var documentation: String {
      switch self {
      case .softTargets:
        "T² times the Kullback-Leibler divergence of the student's probabilities from the teacher's (Hinton et al. 2015)."
      case .decoupled:
        "T² (alpha TCKD + beta NCKD): the label against all other classes, and these among themselves (Zhao et al. 2022)."
      case .hint:
        "The mean of squared differences between what two layers give, the student's projected by a layer of 1x1 that is "
          + "learned where the channels differ (Romero et al. 2015)."
      case .attentionTransfer:
        "The mean of squared differences between two layers' maps of attention, each of length 1 (Zagoruyko and Komodakis "
          + "2017)."
      }
    }

    /// Whether it compares probabilities, and has a temperature.
    public var isOfLogits: Bool { self == .softTargets || self == .decoupled }
  }

  /// What is made alike.
  public var method: Method
  /// The factor of this in the loss.
  public var weight = 1.0
  /// What logits are divided by before they become probabilities.
  public var temperature = 4.0
  /// The factors of the two parts of `.decoupled`.
  public var alpha = 1.0, beta = 8.0
  /// The layers of `.hint` and `.attentionTransfer`, by the names of their results.
  public var studentLayer = "", teacherLayer = ""

  /// A method with the usual constants.
  public init(_ method: Method) { self.method = method }

  /// `T² KL(teacher || student)` of the probabilities at temperature `T`; of yes and no predictions the mean over these.
  public static func softTargets(temperature: Double = 4, weight: Double = 1) -> Self {
    var term = Self(.softTargets)
    (term.temperature, term.weight) = (temperature, weight)
    return term
  }

  /// `T² (alpha TCKD + beta NCKD)`; of class targets.
  public static func decoupled(alpha: Double = 1, beta: Double = 8, temperature: Double = 4, weight: Double = 1) -> Self
  {
    var term = Self(.decoupled)
    (term.alpha, term.beta, term.temperature, term.weight) = (alpha, beta, temperature, weight)
    return term
  }

  /// The mean of squared differences between two layers' results, which have the same height and width.
  public static func hint(student: String, teacher: String, weight: Double = 1) -> Self {
    var term = Self(.hint)
    (term.studentLayer, term.teacherLayer, term.weight) = (student, teacher, weight)
    return term
  }

  /// The mean of squared differences between two layers' maps of attention, which have the same height and width.
  public static func attentionTransfer(student: String, teacher: String, weight: Double = 1) -> Self {
    var term = Self(.attentionTransfer)
    (term.studentLayer, term.teacherLayer, term.weight) = (student, teacher, weight)
    return term
  }
}
