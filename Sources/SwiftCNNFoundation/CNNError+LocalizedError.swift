@_exported import SwiftCNN

import Foundation

/// What programs with Foundation ask of an error whose type they do not know: `error.localizedDescription` is the message.
extension CNNError: LocalizedError {
  /// The message.
  public var errorDescription: String? { message }
}
