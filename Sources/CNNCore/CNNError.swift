/// The one error that every floor of the library throws.
///
/// The message names the argument, the value it had, and what was expected, so that it can be shown to a user as it is.
public struct CNNError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kind of failure. Raw values are the status codes of the C ABI.
  public enum Code: Int32, Sendable, CaseIterable {
    /// An argument is outside its domain.
    case invalidArgument = 1
    /// A tensor's shape or element type does not fit.
    case shapeMismatch = 2
    /// A name (of a model, layer, parameter, optimizer...) is not known.
    case unknownName = 3
    /// A size is too large, or memory for it could not be had.
    case outOfMemory = 4
    /// The operating system refused to read or write.
    case inputOutput = 5
    /// A file's contents are not what its format says.
    case malformedFile = 6
    /// A computation produced NaN or infinity.
    case notFinite = 7
    /// The call is not possible in the object's present state (for example training before compiling).
    case invalidState = 8
    /// A fault of the library itself.
    case internalFault = 9
    /// The caller's buffer does not hold the result; C only.
    case bufferTooSmall = 10
    /// The host asked for the end of a call that takes long.
    case interrupted = 11
  }

  /// The kind of failure.
  public let code: Code
  /// The languages that name options their own way.
  package enum Language { case swift, c }

  /// The message, in which names of options are marked.
  private let text: String
  /// What went wrong, in one or a few sentences.
  public var message: String { message(in: .swift) }
  /// Of `.inputOutput` the system's own number for it, as `ENOENT`; 0 where it gave none.
  public let systemCode: Int32

  /// Creates an error of the given kind.
  public init(_ code: Code, _ message: String, systemCode: Int32 = 0) {
    (self.code, self.systemCode) = (code, systemCode)
    text = message
  }

  /// The message.
  public var description: String { message }

  /// The message, as Foundation's programs ask for it. Where an error's type is not known, `any Error`, that needs
  /// `import SwiftCNNFoundation`.
  public var localizedDescription: String { message }

  /// The message as a language names options.
  package func message(in language: Language) -> String { OptionName.spelled(text, in: language) }

  /// The same error as one of another kind.
  package func coded(_ code: Code) -> CNNError { CNNError(code, text, systemCode: systemCode) }

  /// The same error with a phrase before its message that says where it arose, as in `node 'fc': ...`.
  public func prefixed(_ place: String) -> CNNError {
    CNNError(code, "\(place): \(text)", systemCode: systemCode)
  }

  /// Whether the message already has that phrase, so that a caller need not add it.
  ///
  /// Written out, since the library's `contains` for strings brings the regular-expression engine, 1.4 MB, with it.
  public func mentions(_ phrase: String) -> Bool {
    let text = Array(message.utf8), phrase = Array(phrase.utf8)
    guard text.count >= phrase.count else { return false }
    return (0...(text.count - phrase.count)).contains { text[$0...].starts(with: phrase) }
  }
}
