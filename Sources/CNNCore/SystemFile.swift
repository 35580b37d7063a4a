import Glibc

/// The first 16 KiB of a file in which the system describes itself, or an empty string if it cannot be read.
public func readSystemFile(_ path: String) -> String {
  let file = open(path, O_RDONLY | O_CLOEXEC)
  guard file >= 0 else { return "" }
  defer { close(file) }
  return withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 1) { buffer in
    var count = 0
    while count < buffer.count {
      let got = read(file, buffer.baseAddress?.advanced(by: count), buffer.count - count)
      if got > 0 { count += got } else if got == 0 || errno != EINTR { break }
    }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }
}
