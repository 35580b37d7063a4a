import CNNCore
import Synchronization

/// What a model has noticed about the data that it is given and nobody has asked for yet, and what was told already.
///
/// Without locks: predictions on several threads notice, and a forked child goes on.
final class InputWarnings: Sendable {
  /// What was given to a model that is trained on something else.
  struct Mismatch {
    let given: InputValues, trained: InputValues?
    /// The smallest and the largest of the numbers that were looked at.
    let minimum, maximum: Float
  }

  /// Which of `InputValues.allCases` were told, a bit each, and in the last bit whether of missing weights was.
  private let told = Atomic<UInt64>(0)
  /// 0, or 1 + the number of the mismatch's given + 8 times that of its trained, which is 7 for nil.
  private let pending = Atomic<UInt64>(0)
  private let range = Atomic<UInt64>(0)
  /// In how many layers batch normalisation had a single value for each channel; negative where that was told.
  private let singleValues = Atomic<Int>(0)
  /// How the teacher compares with the student, where that is a warning; empty where it was told.
  private let teacher = Guarded<String?> { nil }

  /// Keeps a mismatch until somebody asks; each kind once.
  func add(_ mismatch: Mismatch) {
    let number = Self.number(of: mismatch.given)
    let bit: UInt64 = 1 << number
    guard told.bitwiseOr(bit, ordering: .relaxed).oldValue & bit == 0 else { return }
    let low = UInt64(mismatch.minimum.bitPattern), high = UInt64(mismatch.maximum.bitPattern)
    range.store(low | high << 32, ordering: .relaxed)
    pending.store(1 + number + 8 * (mismatch.trained.map(Self.number) ?? 7), ordering: .releasing)
  }

  private static let weightsBit: UInt64 = 1 << 63

  /// Whether somebody has asked what the model's weights should have been.
  var hasToldOfWeights: Bool { told.load(ordering: .relaxed) & Self.weightsBit != 0 }

  /// Says that somebody has.
  func haveToldOfWeights() { told.bitwiseOr(Self.weightsBit, ordering: .relaxed) }

  /// What nobody has asked for yet.
  var next: Mismatch? {
    let code = pending.load(ordering: .acquiring)
    guard code > 0 else { return nil }
    let all = InputValues.allCases, given = Int((code - 1) % 8), trained = Int((code - 1) / 8)
    guard all.indices.contains(given) else { return nil }
    let ends = range.load(ordering: .relaxed)
    return Mismatch(
      given: all[given], trained: all.indices.contains(trained) ? all[trained] : nil,
      minimum: Float(bitPattern: UInt32(truncatingIfNeeded: ends)),
      maximum: Float(bitPattern: UInt32(truncatingIfNeeded: ends >> 32)))
  }

  /// What is to be told of the teacher; empty where there is nothing.
  var ofTeacher: String { teacher.withLock { $0 ?? "" } }

  /// Keeps a warning of the teacher, once.
  func addTeacher(_ text: String) { teacher.withLock { if $0 == nil { $0 = text } } }

  /// Says that it was told.
  func clearTeacher() { teacher.withLock { $0 = "" } }

  /// Keeps that batch normalisation was trained on a single value for each channel in so many layers; once.
  func addSingleValues(layers: Int) {
    if layers > 0 { _ = singleValues.compareExchange(expected: 0, desired: layers, ordering: .relaxed) }
  }

  /// The layers of `addSingleValues`, where nobody has asked for them yet; else 0.
  var layersWithSingleValues: Int { max(0, singleValues.load(ordering: .relaxed)) }

  /// Says that somebody has asked for those layers.
  func clearSingleValues() { singleValues.store(-1, ordering: .relaxed) }

  /// Says that somebody has asked for the mismatch.
  func clear() { pending.store(0, ordering: .relaxed) }

  private static func number(of values: InputValues) -> UInt64 {
    UInt64(InputValues.allCases.firstIndex(of: values) ?? 0)
  }
}
