/// Whether threads should stay bound to their processors.
///
/// A thread that is bound to a processor on which others run, such as those of a process that bound its own threads too,
/// has to wait although another processor may be free. So threads that wait too long are let go for a while, and for
/// twice as long each time that binding them again brings the same.
struct PinningRule {
  /// The time over which waiting is measured.
  static let window = 100_000_000
  /// The share of the time that a thread may wait.
  static let allowedShare = 0.1
  /// How long threads are let go, the first time and at most.
  static let firstPause = 1_000_000_000, longestPause = 32_000_000_000

  private var windowStart: Int?
  private var waitedBefore = 0
  private var pause = firstPause
  private var freeUntil: Int?

  /// Whether to bind now.
  /// - Parameters:
  ///   - now: in nanoseconds.
  ///   - waited: how long the threads have waited for their processors since they began, in nanoseconds, divided by their
  ///     number; nil where the system does not say, and then they are bound. Asked once a window.
  mutating func allowsPinning(at now: Int, waited: () -> Int?) -> Bool {
    if let freeUntil {
      if now < freeUntil { return false }
      (self.freeUntil, windowStart) = (nil, nil)
    }
    guard let windowStart else {
      (self.windowStart, waitedBefore) = (now, waited() ?? 0)
      return true
    }
    let length = now - windowStart
    if length < Self.window { return true }
    let total = waited() ?? 0, share = Double(total - waitedBefore) / Double(length)
    (self.windowStart, waitedBefore) = (now, total)
    if share > Self.allowedShare {
      freeUntil = now + pause
      pause = min(2 * pause, Self.longestPause)
      return false
    }
    // Pauses are long only while others keep computing.
    pause = max(pause / 2, Self.firstPause)
    return true
  }
}
