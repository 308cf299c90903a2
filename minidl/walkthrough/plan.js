// The plan's page: pressing an array marks it in all calls that read or write it.

const arrays = [...document.querySelectorAll('.array[data-key]')];
let marked = null;

function mark(key) {
  marked = key === marked ? null : key;
  const calls = new Set();
  for (const array of arrays) {
    const same = array.dataset.key === marked;
    array.setAttribute('aria-pressed', same);
    if (same) calls.add(array.closest('.call').id.replace('call-', ''));
  }
  $('live').textContent = marked === null ? '' : `This array is used by the calls ${[...calls].join(', ')}`;
}

for (const array of arrays) array.addEventListener('click', () => mark(array.dataset.key));
prepareTheme();
$('theme').hidden = false;
