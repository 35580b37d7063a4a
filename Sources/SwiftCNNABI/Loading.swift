import SwiftCNN

/// Runs when the library is loaded, before another thread can be in it: makes what a child that is forked later could
/// otherwise find half made.
@section(".init_array") @used
private let whenLoaded: @convention(c) () -> Void = {
  Threads.prepareForForks()
  Handles.prepare()
  LastError.prepare()
}
