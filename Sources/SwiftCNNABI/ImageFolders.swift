// These functions are named and documented in include/swiftcnn.h.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

import CNNCore
import CSwiftCNN
import SwiftCNN

/// The batches of an epoch; calls from several threads take turns.
final class BatchesHandle: @unchecked Sendable {
  private let batches: ImageFolderBatches
  private let lock = LockSet(of: "the epoch")

  init(_ batches: ImageFolderBatches) { self.batches = batches }

  /// Calls `body` with the batches, which nobody else has meanwhile.
  func with(_ body: (ImageFolderBatches) throws(CNNError) -> Void) throws(CNNError) {
    try lock.writing { () throws(CNNError) in try body(batches) }
  }
}

private func folder(_ handle: OpaquePointer?) throws(CNNError) -> ImageFolder {
  try Handles.get(handle, "folder", as: ImageFolder.self)
}

@_cdecl("scnn_image_folder_open") @implementation
public func scnn_image_folder_open(
  _ path: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!, _ folder: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let out = try required(folder, "folder")
    out.pointee = nil
    let options = try ImageFolderOptions(json: SwiftCNNABI.options(options, "options"))
    out.pointee = Handles.make(try ImageFolder(text(path, "path"), options: options))
  }
}

@_cdecl("scnn_image_folder_free") @implementation
public func scnn_image_folder_free(_ handle: OpaquePointer!) -> scnn_status {
  call(allocates: false) { () throws(CNNError) in try Handles.free(handle, "folder", as: ImageFolder.self) }
}

@_cdecl("scnn_image_folder_class_names") @implementation
public func scnn_image_folder_class_names(
  _ handle: OpaquePointer!, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    try write(folder(handle).classNames.joined(separator: "\n"), to: buffer, capacity, length)
  }
}

@_cdecl("scnn_model_image_folder") @implementation
public func scnn_model_image_folder(
  _ handle: OpaquePointer!, _ folder: OpaquePointer!, _ purpose: UnsafePointer<CChar>!, _ training: OpaquePointer!,
  _ arranged: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let out = try required(arranged, "arranged")
    out.pointee = nil
    let model = try model(handle), folder = try SwiftCNNABI.folder(folder), word = try text(purpose, "purpose")
    guard let purpose = ImageFolder.Purpose(rawValue: word) else {
      throw unknownName("purpose", word, among: ImageFolder.Purpose.allCases.map(\.rawValue))
    }
    let like = training == nil ? nil : try Handles.get(training, "training", as: ImageFolder.self)
    out.pointee = Handles.make(try model.folder(folder, for: purpose, like: like))
  }
}

@_cdecl("scnn_image_folder_count") @implementation
public func scnn_image_folder_count(
  _ handle: OpaquePointer!, _ pictures: UnsafeMutablePointer<Int>!, _ batches: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let folder = try folder(handle)
    pictures?.pointee = folder.count
    batches?.pointee = folder.batchCount
  }
}

@_cdecl("scnn_image_folder_labels") @implementation
public func scnn_image_folder_labels(
  _ handle: OpaquePointer!, _ labels: UnsafeMutablePointer<Int32>!, _ count: Int
) -> scnn_status {
  call { () throws(CNNError) in
    let folder = try folder(handle), labels = try required(labels, "labels")
    guard count == folder.count else {
      throw CNNError(.bufferTooSmall, "there is room for \(count) labels; there are \(folder.count)")
    }
    for (index, label) in folder.labels.enumerated() { labels[index] = Int32(clamping: label) }
  }
}

@_cdecl("scnn_image_folder_path") @implementation
public func scnn_image_folder_path(
  _ handle: OpaquePointer!, _ picture: Int, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let folder = try folder(handle)
    guard let path = folder.path(picture) else {
      throw CNNError(
        .invalidArgument, "picture is \(UInt(bitPattern: picture)); expected 0 to \(folder.count - 1)")
    }
    try write(path, to: buffer, capacity, length)
  }
}

@_cdecl("scnn_image_folder_begin_epoch") @implementation
public func scnn_image_folder_begin_epoch(
  _ handle: OpaquePointer!, _ epoch: Int64, _ batches: UnsafeMutablePointer<OpaquePointer?>!
) -> scnn_status {
  call { () throws(CNNError) in
    let folder = try folder(handle), out = try required(batches, "batches")
    out.pointee = nil
    out.pointee = Handles.make(BatchesHandle(try folder.batches(epoch: Int(epoch))))
  }
}

@_cdecl("scnn_batches_next") @implementation
public func scnn_batches_next(
  _ handle: OpaquePointer!, _ x: UnsafeMutablePointer<scnn_tensor>!, _ y: UnsafeMutablePointer<scnn_tensor>!,
  _ isLast: UnsafeMutablePointer<Int32>!
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try Handles.get(handle, "batches", as: BatchesHandle.self)
    let x = try required(x, "x"), y = try required(y, "y")
    (x.pointee, y.pointee) = (scnn_tensor(), scnn_tensor())
    isLast?.pointee = 1
    try handle.with { (batches) throws(CNNError) in
      let batch = try batches.next()
      (x.pointee, y.pointee) = (tensor(batch?.x), tensor(batch?.y))
      isLast?.pointee = batch?.isLast == false ? 0 : 1
    }
  }
}

@_cdecl("scnn_batches_skipped") @implementation
public func scnn_batches_skipped(
  _ handle: OpaquePointer!, _ count: UnsafeMutablePointer<Int>!, _ buffer: UnsafeMutablePointer<CChar>!,
  _ capacity: Int, _ length: UnsafeMutablePointer<Int>!
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try Handles.get(handle, "batches", as: BatchesHandle.self)
    try handle.with { (batches) throws(CNNError) in
      count?.pointee = batches.skippedCount
      if buffer == nil && length == nil { return }
      try write(batches.firstSkipped?.message(in: .c) ?? "", to: buffer, capacity, length)
    }
  }
}

@_cdecl("scnn_batches_free") @implementation
public func scnn_batches_free(_ handle: OpaquePointer!) -> scnn_status {
  call(allocates: false) { () throws(CNNError) in try Handles.free(handle, "batches", as: BatchesHandle.self) }
}
