export default {
  output: 'standalone',
  images: { unoptimized: true },
  // Nothing here needs them, and they are a third of all.
  outputFileTracingExcludes: { '*': ['node_modules/@img/**', 'node_modules/sharp/**'] },
}
