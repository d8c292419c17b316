package measure

// ShareTolerance is by how much two statements of a share may differ.
const ShareTolerance = 1e-9
