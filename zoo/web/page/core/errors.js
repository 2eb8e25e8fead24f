// A problem that the user can understand and fix; its message is one sentence. Any other error is a bug.

export class UserError extends Error {}

/**
 * Return the sentence to show for anything that was thrown.
 * @param {unknown} error
 * @returns {string}
 */
export function sentence(error) {
  if (error instanceof UserError) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  return `This is a bug of the page: ${text}`;
}
