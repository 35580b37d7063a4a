import CNNCore
import CNNRuntime
import Glibc

/// Pictures of an epoch that threads read ahead into a ring of places, in whichever order they are done, for one reader
/// that takes them in the order of the epoch.
///
/// A file that cannot be read holds no place, so that the ring always has room for the pictures that come next.
///
/// Unchecked because everything that changes is touched under `mutex`, but for the pixels of a place, which belong to
/// whoever fills or reads it.
final class PictureQueue: @unchecked Sendable {
  /// What is known of a picture, beside the number of the place where it lies.
  private enum State {
    static let waiting: Int32 = -1
    static let underWay: Int32 = -2
    static let failed: Int32 = -3
  }

  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  /// Signalled where a thread may go on, and where the reader may.
  private let room, news: UnsafeMutablePointer<pthread_cond_t>
  private let loader: PictureLoader
  private let order: [Int32]
  private let ring: Memory
  private var states: [Int32]
  private var freePlaces: [Int32]
  /// The first picture that nobody has begun, and the one before which all threads end.
  private var next = 0, end: Int
  private var threadCount = 0
  private var isStopped = false
  /// The first picture, in the order, whose file is passed over, and the first one that ends the epoch.
  private var firstSkipped, firstError: (position: Int, error: CNNError)?

  /// Begins to read.
  /// - Parameters:
  ///   - order: the pictures' indices.
  ///   - places: how many are read ahead.
  init(_ loader: PictureLoader, order: [Int32], places: Int, threads: Int) throws(CNNError) {
    (self.loader, self.order) = (loader, order)
    ring = try Memory(
      byteCount: Checked.product([places, loader.byteCount], "pictures read ahead"), for: "pictures read ahead")
    states = Array(repeating: State.waiting, count: order.count)
    freePlaces = (0..<Int32(truncatingIfNeeded: places)).reversed()
    end = order.count
    // Of constant size.
    (mutex, room, news) = (.allocate(capacity: 1), .allocate(capacity: 1), .allocate(capacity: 1))
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(room, nil)
    pthread_cond_init(news, nil)
    pthread_mutex_lock(mutex)
    for number in 0..<min(threads, order.count) {
      // Where the system refuses, the threads that are there have more to do, or the reader does all of it.
      guard DetachedThread.start(named: "swiftcnn-read-\(number)", { self.serve() }) != nil else { break }
      threadCount += 1
    }
    pthread_mutex_unlock(mutex)
  }

  deinit {
    pthread_cond_destroy(news)
    pthread_cond_destroy(room)
    pthread_mutex_destroy(mutex)
    news.deallocate()
    room.deallocate()
    mutex.deallocate()
  }

  /// Ends the threads and waits until they have: no longer than one picture takes.
  func stop() {
    pthread_mutex_lock(mutex)
    isStopped = true
    pthread_cond_broadcast(room)
    while threadCount > 0 { pthread_cond_wait(news, mutex) }
    pthread_mutex_unlock(mutex)
  }

  /// Waits for the picture at a position and copies it.
  /// - Returns: false where it could not be read.
  func take(_ position: Int, into target: UnsafeMutableRawPointer) -> Bool {
    guard let place = resolved(position) else { return false }
    target.copyMemory(from: pixels(place), byteCount: loader.byteCount)
    pthread_mutex_lock(mutex)
    freePlaces.append(place)
    pthread_cond_signal(room)
    pthread_mutex_unlock(mutex)
    return true
  }

  /// Waits until it is known whether the picture at a position can be read.
  func canRead(_ position: Int) -> Bool { resolved(position) != nil }

  /// Where the picture at a position lies; nil where it could not be read.
  private func resolved(_ position: Int) -> Int32? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while states[position] < 0 && states[position] != State.failed {
      if threadCount == 0 {
        guard readOne() else { return nil }
      } else {
        pthread_cond_wait(news, mutex)
      }
    }
    return states[position] == State.failed ? nil : states[position]
  }

  private func pixels(_ place: Int32) -> UnsafeMutableRawPointer { ring.base + Int(place) * loader.byteCount }

  /// What a thread does.
  private func serve() {
    pthread_mutex_lock(mutex)
    while !isStopped, next < end {
      if freePlaces.isEmpty { pthread_cond_wait(room, mutex) } else { _ = readOne() }
    }
    threadCount -= 1
    // Others may wait for a place that nobody needs any more.
    pthread_cond_broadcast(room)
    pthread_cond_broadcast(news)
    pthread_mutex_unlock(mutex)
  }

  /// Reads the next picture, unlocked in between; false where there is none, or no place for it.
  private func readOne() -> Bool {
    guard next < end, let place = freePlaces.popLast() else { return false }
    let position = next
    next += 1
    states[position] = State.underWay
    pthread_mutex_unlock(mutex)
    var failure: CNNError?
    do throws(CNNError) { try loader.load(Int(order[position]), into: pixels(place)) } catch { failure = error }
    pthread_mutex_lock(mutex)
    if let failure {
      states[position] = State.failed
      freePlaces.append(place)
      if loader.options.corruptFiles == .skip && failure.isOfFile {
        if position < firstSkipped?.position ?? .max { firstSkipped = (position, failure) }
      } else {
        if position < firstError?.position ?? .max { firstError = (position, failure) }
        // Nothing behind an error is wanted.
        end = min(end, next)
      }
    } else {
      states[position] = place
    }
    pthread_cond_signal(news)
    return true
  }

  /// What is known of a picture that could not be read: the error that ends the epoch with it, and, of the first whose
  /// file is passed over, why it is.
  func failure(at position: Int) -> (error: CNNError?, skipped: CNNError?) {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    func known(_ failure: (position: Int, error: CNNError)?) -> CNNError? {
      failure.flatMap { $0.position == position ? $0.error : nil }
    }
    return (known(firstError), known(firstSkipped))
  }
}
