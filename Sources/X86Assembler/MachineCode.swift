/// Finished code: position-independent, so that it runs at any address that is a multiple of 64.
public struct MachineCode: Equatable, Sendable {
  /// A comment on a place in the code.
  public struct Note: Equatable, Sendable {
    /// Where it belongs, in bytes from the start.
    public let offset: Int
    /// What it says.
    public let text: String
  }

  /// What listings, profilers and debuggers call it.
  public let name: String
  /// The instructions and, after them, the constants.
  public let bytes: [UInt8]
  /// How many of the bytes are instructions.
  public let instructionByteCount: Int
  /// The comments, by rising offset.
  public let notes: [Note]
}
