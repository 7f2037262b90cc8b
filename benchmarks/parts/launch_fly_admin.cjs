// The package fly-admin as a program. It knows no retry: what is refused is not started.
const { createClient } = require('fly-admin')

async function launch({ url, token, app, image, regions }) {
  const client = Object.assign(createClient(token), { apiUrl: url })
  const one = async (region) => {
    const { id, instance_id } = await client.Machine.createMachine({ app_name: app, region, config: { image } })
    await client.Machine.waitMachine({ app_name: app, machine_id: id, instance_id, state: 'started', timeout: '60' })
  }
  await Promise.allSettled(regions.map(one))
}

process.stdin.once('data', async (line) => {
  const began = performance.now()
  await launch(JSON.parse(line))
  console.log((performance.now() - began) / 1000)
  process.exit()
})
console.log('ready')
