// What a user of the library meets in its signatures: errors, tensors' types, graphs, pictures. `import SwiftCNN` is enough.
@_exported import CNNCore
@_exported import CNNGraph
@_exported import CNNPictures
