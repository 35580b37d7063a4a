import CNNCore

/// Writes a `state_dict` that `torch.load` reads, with `weights_only` too: a zip archive of a pickle and the tensors.
enum TorchWriter {
  private static let folder = "weights"

  /// Replaces the file `path` by one with these tensors, which are float32 in memory, at once and whole, or leaves it as it is.
  /// - Throws: `.invalidArgument` where the tensors are more than such a file holds; `.inputOutput` naming the path;
  ///   `.outOfMemory`.
  static func write(to path: String, tensors: [SafetensorsWriter.Tensor]) throws(CNNError) {
    let pickle = try pickle(of: tensors)
    // torch.load tells byte orders apart; readers before 2.1 pass this entry over.
    let order = Array("little".utf8), version = Array("3\n".utf8)
    try AtomicFile.write(to: path) { (file) throws(CNNError) in
      var archive = ZipWriter()
      try archive.add("\(folder)/data.pkl", pickle, to: file)
      try archive.add("\(folder)/byteorder", order, to: file)
      for (index, tensor) in tensors.enumerated() {
        let stored = try tensor.stored()
        defer { withExtendedLifetime(stored.owner) {} }
        try archive.add("\(folder)/data/\(index)", stored.bytes, to: file)
      }
      try archive.add("\(folder)/version", version, to: file)
      try archive.finish(file)
    }
  }

  /// The pickle of an ordered dictionary of tensors, tensor i in storage "i". (Protocol 2, CPython's pickletools.)
  private static func pickle(of tensors: [SafetensorsWriter.Tensor]) throws(CNNError) -> [UInt8] {
    var bytes: [UInt8] = [0x80, 2]
    func integer(_ value: Int) throws(CNNError) {
      guard let value = Int32(exactly: value) else {
        throw CNNError(.invalidArgument, "a tensor has \(value) elements; a .pth file holds \(Int32.max) at most")
      }
      bytes.append(UInt8(ascii: "J"))
      withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }
    func text(_ text: String) {
      bytes.append(UInt8(ascii: "X"))
      withUnsafeBytes(of: UInt32(truncatingIfNeeded: text.utf8.count).littleEndian) { bytes += $0 }
      bytes += text.utf8
    }
    func global(_ module: String, _ name: String) { bytes += "c\(module)\n\(name)\n".utf8 }
    func tuple(_ items: () throws(CNNError) -> Void) throws(CNNError) {
      bytes.append(UInt8(ascii: "("))
      try items()
      bytes.append(UInt8(ascii: "t"))
    }
    func emptyDictionary() {
      global("collections", "OrderedDict")
      bytes += ")R".utf8
    }
    emptyDictionary()
    bytes.append(UInt8(ascii: "("))
    for (index, tensor) in tensors.enumerated() {
      text(tensor.name)
      global("torch._utils", "_rebuild_tensor_v2")
      try tuple { () throws(CNNError) in
        try tuple { () throws(CNNError) in
          text("storage")
          global("torch", tensor.storedType == .bfloat16 ? "BFloat16Storage" : "FloatStorage")
          text(String(index))
          text("cpu")
          try integer(tensor.bytes.count / tensor.type.byteCount)
        }
        bytes.append(UInt8(ascii: "Q"))
        try integer(0)
        for sizes in [tensor.shape, Strides.dense(tensor.shape)] {
          try tuple { () throws(CNNError) in for size in sizes { try integer(size) } }
        }
        bytes.append(0x89)
        emptyDictionary()
      }
      bytes.append(UInt8(ascii: "R"))
    }
    bytes += "u.".utf8
    return bytes
  }
}
