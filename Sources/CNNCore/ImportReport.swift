/// What a user should know of how a foreign file was read, in sentences.
public struct ImportReport: Sendable, Equatable {
  /// What may be other than the user expects.
  public private(set) var warnings: [String] = []
  /// What was found, and decided, where the file left it open.
  public private(set) var notes: [String] = []

  /// So many sentences of each kind are kept.
  private static let maximumCount = 100

  /// A report that says nothing.
  public init() {}

  /// Reads what `json` is.
  public init(json: JSONObject) throws(CNNError) {
    try json.requireKeys(among: ["warnings", "notes"])
    (warnings, notes) = (try json.strings("warnings"), try json.strings("notes"))
  }

  /// The report as JSON: `{"warnings": [...], "notes": [...]}`.
  public var json: JSON { ["warnings": .strings(warnings), "notes": .strings(notes)] }

  /// Adds what the user should look at.
  public mutating func warn(_ sentence: String) { Self.add(sentence, to: &warnings) }

  /// Adds what is good to know.
  public mutating func note(_ sentence: String) { Self.add(sentence, to: &notes) }

  private static func add(_ sentence: String, to list: inout [String]) {
    if list.count < maximumCount && !list.contains(sentence) { list.append(sentence) }
  }
}
