// What a user of the library meets in its signatures: errors, tensors' types, graphs. `import SwiftCNN` is enough.
@_exported import CNNCore
@_exported import CNNGraph
