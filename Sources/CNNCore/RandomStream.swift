/// The stream of `Philox` numbers for each use of a seed, so that no two uses share numbers.
///
/// All of them are functions of the seed and a training step: that pair is the whole random state of a training run.
public enum RandomStream {
  /// The mask of a dropout or stochastic depth layer at one training step.
  public static func mask(layer: Int, step: Int) -> UInt64 {
    UInt64(truncatingIfNeeded: layer) << 40 ^ UInt64(truncatingIfNeeded: step)
  }

  /// The order of the samples in an epoch that begins at this step.
  public static func order(epochStart step: Int) -> UInt64 { 1 << 63 | UInt64(truncatingIfNeeded: step) }

  /// The augmentation of the samples in an epoch that begins at this step.
  public static func augmentation(epochStart step: Int) -> UInt64 { 1 << 62 | UInt64(truncatingIfNeeded: step) }

  /// What the pictures of a folder are chosen and changed by.
  public enum FolderUse: UInt64, Sendable {
    /// Which of them are for validation; the same in every epoch.
    case split
    /// Their order.
    case order
    /// What happens to each, at the counter of its index.
    case augmentation
    /// How they are mixed in each batch, at the counter of its number.
    case mixing
  }

  /// One of the uses of a folder's seed in an epoch.
  public static func folder(_ use: FolderUse, epoch: Int) -> UInt64 {
    3 << 62 | use.rawValue << 56 | UInt64(truncatingIfNeeded: epoch)
  }

  /// The first value of a parameter: by name, so that it does not depend on what else is in the network.
  public static func initialValue(of name: String) -> UInt64 {
    // FNV-1a, 64 bits.
    name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}
